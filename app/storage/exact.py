"""Exact: what approximate search is measured against, the stored vectors themselves."""

from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from app.domain.index import IndexGeneration
from app.domain.ports import Vectors
from app.storage.engine import Database

# Under row-level security by the joins; the order makes equal scores come out the same every time.
_VECTORS = """
SELECT e.chunk_id, d.source_uri, e.embedding
FROM chunk_embedding e
JOIN chunk c ON c.id = e.chunk_id
JOIN document_version v ON v.id = c.document_version_id AND v.valid_to IS NULL
JOIN document d ON d.id = c.document_id
WHERE e.generation_id = %(generation)s AND e.collection_id = %(collection)s
ORDER BY e.chunk_id
"""
_CHUNKS = """
SELECT count(*) FROM chunk c JOIN document_version v ON v.id = c.document_version_id AND v.valid_to IS NULL
WHERE c.collection_id = %(collection)s AND c.chunker = %(chunker)s
"""


@dataclass(frozen=True, slots=True)
class ExactVectors:
    """A collection's chunks: ids, the URIs of their documents, and the vectors as stored (half precision)."""

    chunk_ids: tuple[str, ...]
    uris: tuple[str, ...]
    matrix: NDArray[np.float16]

    def similarities(self, query: Vectors) -> Vectors:
        """The dot product of a vector (dimensions,) with every chunk's: the cosine, for unit-length vectors.

        The query is rounded to half precision, as it is when PostgreSQL compares it.
        """
        rounded = query.astype(np.float16).astype(np.float32)
        scores = np.empty(len(self.matrix), np.float32)
        for start in range(0, len(self.matrix), _BLOCK):
            scores[start : start + _BLOCK] = self.matrix[start : start + _BLOCK].astype(np.float32) @ rounded
        return scores


_BLOCK = 65_536  # rows widened to single precision at a time


async def exact_vectors(
    database: Database, workspace_id: UUID, generation: IndexGeneration, collection_id: UUID
) -> ExactVectors:
    """Every current vector of a collection in one generation. Raises DatabaseUnavailable."""
    async with database.connection(workspace_id) as connection:
        cursor = connection.cursor(binary=True)
        await cursor.execute(_VECTORS, {"generation": generation.id, "collection": collection_id})
        rows = await cursor.fetchall()
    matrix = np.empty((len(rows), generation.dimensions), np.float16)
    for row, (_, _, vector) in zip(matrix, rows, strict=True):
        row[:] = vector.to_numpy()
    return ExactVectors(tuple(str(row[0]) for row in rows), tuple(row[1] for row in rows), matrix)


async def count_chunks(database: Database, workspace_id: UUID, generation: IndexGeneration, collection_id: UUID) -> int:
    """How many current chunks a collection has in one generation. Raises DatabaseUnavailable."""
    async with database.connection(workspace_id) as connection:
        cursor = await connection.execute(_CHUNKS, {"collection": collection_id, "chunker": generation.chunker})
        row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - an aggregate without groups is one row
    return int(row[0])
