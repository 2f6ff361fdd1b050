"""Stored: what is in the database, read back, and the answers that an exact search gives over it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.domain.index import IndexGeneration
from app.domain.ports import Vectors
from app.domain.principal import DEFAULT_WORKSPACE_ID
from app.storage.engine import Database
from app.storage.exact import ExactVectors
from evals.bench.bm25 import ExactBm25, Frequencies
from evals.bench.probes import Narrowing
from evals.bench.synthetic import FIELDS

_ROUNDING = 1e-5  # of two ways to sum the same products
_BATCH = 2000
_VECTORS = """
SELECT e.chunk_id::text, n.name, e.metadata, e.embedding
FROM chunk_embedding e JOIN collection n ON n.id = e.collection_id
WHERE e.generation_id = %s ORDER BY e.chunk_id
"""
_LEXEMES = """
SELECT tsvector_to_array(t.words), ARRAY(SELECT cardinality(positions) FROM unnest(t.words))
FROM chunk_embedding e
JOIN chunk c ON c.id = e.chunk_id
JOIN document_version v ON v.id = c.document_version_id,
    LATERAL (SELECT to_tsvector(v.text_search_config, array_to_string(c.heading_path, ' ') || ' ' || c.text)) t(words)
WHERE e.generation_id = %s ORDER BY e.chunk_id
"""
_QUESTION = """
SELECT lexeme, cardinality(positions) FROM unnest(to_tsvector(%s::regconfig, %s))
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """Every chunk of a generation by its id; `fields[name]` tells which ones have `yes` there."""

    vectors: ExactVectors
    places: dict[str, int]
    collections: NDArray[np.str_]
    fields: dict[str, NDArray[np.bool_]]

    def passing(self, narrowing: Narrowing) -> NDArray[np.bool_]:
        """Which chunks are in the scope of a search."""
        kept = np.ones(len(self.places), bool)
        if narrowing.collection is not None:
            kept &= self.collections == narrowing.collection
        if narrowing.field is not None:
            kept &= self.fields[narrowing.field]
        return kept

    def recall(self, similarity: Vectors, kept: NDArray[np.bool_], found: Sequence[str], top: int = 10) -> float | None:
        """The share of the exact `top` that was found; a chunk as similar as the last is as good. None: none passes.

        `similarity` is the question's with every chunk; what was found outside of the scope does not count.
        """
        inside = similarity[kept]
        wanted = min(top, len(inside))
        if wanted == 0:
            return None
        least = np.partition(inside, -wanted)[-wanted] - _ROUNDING
        places = {self.places[chunk] for chunk in found[:top]}
        return min(wanted, sum(bool(kept[place] and similarity[place] >= least) for place in places)) / wanted


async def read_stored(database: Database, generation: IndexGeneration) -> Stored:
    """Read every vector with its metadata; 0.8 kB a chunk in memory."""
    ids, collections, blocks = list[str](), list[str](), list[NDArray[np.float16]]()
    flags: dict[str, list[bool]] = {name: [] for name in FIELDS}
    async with database.connection(DEFAULT_WORKSPACE_ID) as connection:
        cursor = connection.cursor(binary=True)
        await cursor.execute(_VECTORS, (generation.id,))
        while rows := await cursor.fetchmany(_BATCH):
            ids += [row[0] for row in rows]
            collections += [row[1] for row in rows]
            for name, values in flags.items():
                values += [row[2].get(name) == ["yes"] for row in rows]
            blocks.append(np.stack([row[3].to_numpy() for row in rows]).astype(np.float16))
    return Stored(
        ExactVectors(tuple(ids), (), np.concatenate(blocks)),
        {chunk: place for place, chunk in enumerate(ids)},
        np.array(collections),
        {name: np.array(values) for name, values in flags.items()},
    )


async def read_bm25(database: Database, generation: IndexGeneration, *, k1: float, b: float) -> ExactBm25:
    """Exact BM25 over the same chunks in the same order, as PostgreSQL's text search reads them."""
    rows = list[tuple[list[str], list[int]]]()
    async with database.connection(DEFAULT_WORKSPACE_ID) as connection:
        cursor = connection.cursor(binary=True)
        await cursor.execute(_LEXEMES, (generation.id,))
        interned: dict[str, str] = {}
        while batch := await cursor.fetchmany(_BATCH):
            rows += [([interned.setdefault(x, x) for x in lexemes], counts) for lexemes, counts in batch]
    return ExactBm25(rows, k1=k1, b=b)


async def read_question(database: Database, config: str, text: str) -> Frequencies:
    """A question's lexemes."""
    async with database.connection(DEFAULT_WORKSPACE_ID) as connection:
        return dict(await (await connection.execute(_QUESTION, (config, text))).fetchall())
