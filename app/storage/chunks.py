"""Chunks: rows of chunks and their vectors, written by binary COPY."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from pgvector import HalfVector
from psycopg.types.json import Jsonb

from app.domain.document import Chunk
from app.domain.filter_fields import filterable
from app.domain.ports import Vectors
from app.storage import models as m
from app.storage.engine import WorkspaceConnection
from app.storage.filters import filter_form


@dataclass(frozen=True, slots=True)
class ChunkOwner:
    """The version of a document whose chunks they are, with what filters see of it."""

    workspace_id: UUID
    collection_id: UUID
    document_id: UUID
    version_id: UUID
    uri: str
    title: str
    media_type: str
    metadata: Mapping[str, object]

    def filterable(self, chunk: Chunk) -> dict[str, object]:
        """What filters see of one of its chunks."""
        return filterable(
            self.metadata,
            collection_id=str(self.collection_id),
            document_id=str(self.document_id),
            source_uri=self.uri,
            title=self.title,
            media_type=self.media_type,
            page=chunk.page,
        )


# COPY FROM refuses tables with row-level security, so the rows go through a temporary table of the session.
_STAGING = "CREATE TEMP TABLE IF NOT EXISTS chunk_staging (LIKE chunk INCLUDING DEFAULTS) ON COMMIT DELETE ROWS"
_COLUMNS = (
    "id, workspace_id, collection_id, document_id, document_version_id, chunker, ordinal, heading_path, "
    "char_start, char_end, page, token_count, text, space_after, text_hash, context"
)
_TYPES = (*["uuid"] * 5, "text", "int4", "text[]", "int4", "int4", "int4", "int4", "text", "text", "uuid", "text")

_VECTORS = """
SELECT DISTINCT ON (c.text_hash) c.text_hash, e.embedding
FROM chunk c JOIN chunk_embedding e ON e.chunk_id = c.id AND e.generation_id = %s
WHERE c.text_hash = ANY(%s) ORDER BY c.text_hash
"""


async def copy_chunks(
    connection: WorkspaceConnection, chunker: str, chunks: Sequence[tuple[ChunkOwner, Chunk]]
) -> list[UUID]:
    """Write chunks of one or more versions; returns their ids in order. Several calls may share a transaction."""
    ids = [m.new_id() for _ in chunks]
    await connection.execute(_STAGING)
    await connection.execute("DELETE FROM chunk_staging")
    async with connection.cursor().copy(f"COPY chunk_staging ({_COLUMNS}) FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(_TYPES)
        for chunk_id, (owner, c) in zip(ids, chunks, strict=True):
            row: tuple[Any, ...] = (chunk_id, owner.workspace_id, owner.collection_id, owner.document_id)
            row = (*row, owner.version_id, chunker, c.ordinal, list(c.heading_path))
            row = (*row, c.char_start, c.char_end, c.page, c.token_count, c.text, c.space_after)
            await copy.write_row((*row, c.text_hash, c.context))
    await connection.execute(f"INSERT INTO chunk ({_COLUMNS}) SELECT {_COLUMNS} FROM chunk_staging")  # noqa: S608 - constants
    return ids


async def stored_vectors(
    connection: WorkspaceConnection, generation_id: int, hashes: Sequence[UUID]
) -> dict[UUID, Vectors]:
    """Vectors of a generation by the hash of what was embedded, shape (dimensions,) each, as far as there are any."""
    cursor = await connection.execute(_VECTORS, (generation_id, list(hashes)), binary=True)
    return {text_hash: vector.to_numpy().astype("float32") for text_hash, vector in await cursor.fetchall()}


async def copy_vectors(
    connection: WorkspaceConnection,
    generation_id: int,
    rows: Iterable[tuple[UUID, ChunkOwner, Chunk, Vectors]],
) -> None:
    """Write vectors of one generation, each with its chunk's id, version and text, and what filters see of it."""
    async with connection.cursor().copy(
        "COPY chunk_embedding (chunk_id, generation_id, collection_id, embedding, metadata) FROM STDIN (FORMAT binary)"
    ) as copy:
        copy.set_types(["uuid", "int4", "uuid", "halfvec", "jsonb"])
        for chunk_id, owner, chunk, vector in rows:
            metadata = Jsonb(filter_form(owner.filterable(chunk)), dumps=msgspec.json.encode)
            await copy.write_row((chunk_id, generation_id, owner.collection_id, HalfVector(vector), metadata))
