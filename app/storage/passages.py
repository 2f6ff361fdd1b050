"""Passages: the hot query, both retrieval legs fused in one round trip."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection, sql
from psycopg.rows import tuple_row

from app.domain.filter import Filter
from app.domain.index import IndexGeneration
from app.domain.passage import Leg, Passage
from app.domain.ports import Vectors
from app.storage.engine import Database
from app.storage.filters import FILTERABLE, compile_filter


@dataclass(frozen=True, slots=True)
class PassageQuery:
    """What to search for: `vector` (dimensions,) for the dense leg, `text` for the words, `candidates` for each leg.

    `collection` names the scope (None: every collection of the workspace). `filter` is what a chunk's
    metadata must satisfy.
    """

    text: str
    vector: Vectors
    collection: str | None
    k: int
    candidates: int
    rrf_k: int
    leg: Leg
    filter: Filter | None


# The words of the question OR-ed, each document in its own text search configuration; the lexemes are quoted.
_LEXICAL = """
    SELECT chunk_id, row_number() OVER (ORDER BY score DESC, chunk_id) AS rank
    FROM (
        SELECT l.chunk_id, ts_rank_cd(l.tsv, q.query, 1) AS score
        FROM (
            SELECT string_agg('''' || replace(replace(lexeme, '\\', '\\\\'), '''', '''''') || '''', ' | ')::tsquery
                AS query
            FROM unnest(to_tsvector({config}::regconfig, %(text)s))
        ) q
        JOIN chunk_lexeme l ON l.tsv @@ q.query
        WHERE l.generation_id = {generation} AND l.collection_id = ANY({collections}) {filter}
        ORDER BY score DESC, l.chunk_id
        LIMIT %(candidates)s
    ) found
"""
_DENSE = """
    SELECT chunk_id, 1 - distance AS similarity, row_number() OVER (ORDER BY distance, chunk_id) AS rank
    FROM (
        SELECT l.chunk_id, l.embedding::halfvec({dimensions}) <=> %(vector)s::halfvec({dimensions}) AS distance
        FROM chunk_embedding l
        WHERE l.generation_id = {generation} AND l.collection_id = ANY({collections}) {filter}
        ORDER BY l.embedding::halfvec({dimensions}) <=> %(vector)s::halfvec({dimensions})
        LIMIT %(candidates)s
    ) found
"""
# Under row-level security; evaluated once. The tables it narrows have none.
_COLLECTIONS = """
    ARRAY(SELECT id FROM collection WHERE %(collection)s::text IS NULL OR name = %(collection)s)
"""
_NO_DENSE = "SELECT NULL::uuid AS chunk_id, NULL::float8 AS similarity, NULL::bigint AS rank WHERE false"
_NO_LEXICAL = "SELECT NULL::uuid AS chunk_id, NULL::bigint AS rank WHERE false"
_FILTER = """
    AND EXISTS (
        SELECT FROM chunk c
        JOIN document_version v ON v.id = c.document_version_id
        JOIN document o ON o.id = c.document_id
        CROSS JOIN LATERAL (SELECT {filterable} AS metadata OFFSET 0) m
        WHERE c.id = l.chunk_id AND {condition}
    )
"""
# Reciprocal rank fusion: score = Σ 1 / (k + rank) (Cormack, Clarke, Büttcher: SIGIR 2009, p. 758).
# The join with chunk, document_version and document is under row-level security; only current versions are retrieved.
_FUSED = """
WITH dense AS ({dense}), lexical AS ({lexical}),
fused AS (
    SELECT chunk_id, d.similarity,
        coalesce(1.0 / (%(rrf_k)s + d.rank), 0) + coalesce(1.0 / (%(rrf_k)s + t.rank), 0) AS score
    FROM dense d FULL JOIN lexical t USING (chunk_id)
)
SELECT c.id, c.document_id, v.id, v.title, o.source_uri, c.heading_path, c.page, c.char_start, c.char_end, c.text,
    f.score::float8, f.similarity::float8, v.metadata || c.metadata
FROM fused f
JOIN chunk c ON c.id = f.chunk_id
JOIN document_version v ON v.id = c.document_version_id AND v.valid_to IS NULL
JOIN document o ON o.id = c.document_id
ORDER BY f.score DESC, f.similarity DESC NULLS LAST, c.id
LIMIT %(k)s
"""


def statement(generation: IndexGeneration, leg: Leg, *, config: str, filter: sql.Composable) -> sql.Composed:  # noqa: A002
    """The query for one leg or both; `filter` is more of each leg's WHERE.

    The generation and its dimensions are literals: a partial expression index is used only when the planner can prove
    that it covers the query.
    """
    parts = {
        "generation": sql.Literal(generation.id),
        "dimensions": sql.Literal(generation.dimensions),
        "config": sql.Literal(config),
        "collections": sql.SQL(_COLLECTIONS),
        "filter": filter,
    }
    return sql.SQL(_FUSED).format(
        dense=sql.SQL(_NO_DENSE if leg == "lexical" else _DENSE).format(**parts),
        lexical=sql.SQL(_NO_LEXICAL if leg == "dense" else _LEXICAL).format(**parts),
    )


class PassageIndex:
    """Searches the chunks of one workspace."""

    def __init__(self, database: Database, *, text_search_config: str) -> None:
        """`text_search_config` parses the words of questions."""
        self._database = database
        self._config = text_search_config

    async def search(self, workspace_id: UUID, generation: IndexGeneration, query: PassageQuery) -> list[Passage]:
        """The best `query.k` passages, best first; one statement, one round trip.

        Raises DatabaseUnavailable.
        """
        async with self._database.connection(workspace_id) as connection:
            rows = await _fetch(connection, generation, query, self._config)
        return [
            Passage(
                str(i), str(d), str(v), title, uri, tuple(path), page, start, end, text, score, similarity, metadata
            )
            for i, d, v, title, uri, path, page, start, end, text, score, similarity, metadata in rows
        ]


async def _fetch(
    connection: AsyncConnection[Any], generation: IndexGeneration, query: PassageQuery, config: str
) -> list[tuple[Any, ...]]:
    cursor = connection.cursor(row_factory=tuple_row, binary=True)
    narrowed, values = _narrowed(query.filter)
    await cursor.execute(
        statement(generation, query.leg, config=config, filter=narrowed),
        {
            "text": query.text,
            "vector": query.vector,
            "collection": query.collection,
            "candidates": query.candidates,
            "rrf_k": query.rrf_k,
            "k": query.k,
            **values,
        },
        prepare=True,
    )
    return await cursor.fetchall()


def _narrowed(wanted: Filter | None) -> tuple[sql.Composable, dict[str, object]]:
    """The filter as more of a leg's WHERE, and its parameters."""
    if wanted is None:
        return sql.SQL(""), {}
    condition, parameters = compile_filter(wanted, sql.SQL("m.metadata"))
    return sql.SQL(_FILTER).format(filterable=FILTERABLE, condition=condition), parameters
