"""Lexemes: the words of chunks, as numbers that an index and a score can use (migration 0002)."""

from collections.abc import Sequence
from uuid import UUID

from psycopg import sql

from app.storage.engine import WorkspaceConnection
from app.storage.filters import FILTERABLE

WORD_TABLES = ("chunk_lexeme", "lexical_term", "lexical_batch", "lexical_total")
"""Where the words and their statistics are."""

# The heading path counts as words of the chunk, as it does for its embedding. A chunk without words has its row too, of
# length 0: it counts in the statistics.
# OFFSET 0: row by row through the primary keys. PostgreSQL takes row-level security for more selective than it is, and
# may start from every document there is.
_INSERT = """
INSERT INTO chunk_lexeme (chunk_id, generation_id, collection_id, config, length, terms, impacts, metadata)
SELECT c.id, %(generation)s, c.collection_id, v.text_search_config, r.length, r.terms, r.impacts, {filterable}
FROM unnest(%(chunks)s::uuid[]) i(id)
CROSS JOIN LATERAL (SELECT * FROM chunk WHERE id = i.id OFFSET 0) c
CROSS JOIN LATERAL (SELECT * FROM document_version WHERE id = c.document_version_id OFFSET 0) v
CROSS JOIN LATERAL (SELECT * FROM document WHERE id = c.document_id OFFSET 0) o,
    lexical_row(c.collection_id, v.text_search_config, array_to_string(c.heading_path, ' ') || ' ' || c.text) r
"""
_STATEMENT = sql.SQL(_INSERT).format(filterable=FILTERABLE)
_WITHOUT = """
SELECT count(*) FROM chunk_embedding e
WHERE e.generation_id = %(generation)s
    AND NOT EXISTS (SELECT FROM chunk_lexeme l WHERE l.chunk_id = e.chunk_id AND l.generation_id = %(generation)s)
"""
# The live sums beside what they are sums of: N, n and the lengths of BM25.
_WRONG = """
WITH counted AS (
    SELECT l.collection_id, u.term, count(*) AS chunks FROM chunk_lexeme l, unnest(l.terms) u(term)
    WHERE l.generation_id = %(generation)s GROUP BY 1, 2
),
kept AS (
    SELECT collection_id, term, sum(chunks) AS chunks FROM (
        SELECT collection_id, term, chunks FROM lexical_term WHERE generation_id = %(generation)s
        UNION ALL
        SELECT b.collection_id, u.term, u.chunks FROM lexical_batch b, unnest(b.terms, b.chunks) u(term, chunks)
        WHERE b.generation_id = %(generation)s
    ) all_of_them GROUP BY 1, 2 HAVING sum(chunks) <> 0
),
counted_total AS (
    SELECT collection_id, config, count(*) AS chunks, sum(length) AS length FROM chunk_lexeme
    WHERE generation_id = %(generation)s GROUP BY 1, 2
),
kept_total AS (
    SELECT collection_id, config, sum(chunks) AS chunks, sum(length) AS length FROM lexical_total
    WHERE generation_id = %(generation)s GROUP BY 1, 2 HAVING sum(chunks) <> 0 OR sum(length) <> 0
)
SELECT
    (SELECT count(*) FROM counted c FULL JOIN kept k USING (collection_id, term)
        WHERE c.chunks IS DISTINCT FROM k.chunks)
    + (SELECT count(*) FROM counted_total c FULL JOIN kept_total k USING (collection_id, config)
        WHERE (c.chunks, c.length) IS DISTINCT FROM (k.chunks, k.length))
"""
_ADD_UP = """
SELECT lexical_add_up(collection_id, %(generation)s)
FROM (SELECT DISTINCT collection_id FROM lexical_batch WHERE generation_id = %(generation)s OFFSET 0) with_batches
"""
_FORGET = "DELETE FROM {table} s WHERE NOT EXISTS (SELECT FROM index_generation g WHERE g.id = s.generation_id)"


async def index_words(connection: WorkspaceConnection, generation_id: int, chunk_ids: Sequence[UUID]) -> None:
    """Index the words of stored chunks for a generation, each in its version's text search configuration.

    The statistics of BM25 go along.
    """
    await connection.execute(_STATEMENT, {"generation": generation_id, "chunks": list(chunk_ids)})


async def add_up(connection: WorkspaceConnection, generation_id: int) -> None:
    """Add up what batches counted, in every workspace, so that a question finds one sum of each word.

    What another process is adding up at this moment is left to it.
    """
    await connection.execute(_ADD_UP, {"generation": generation_id})


async def chunks_without_words(connection: WorkspaceConnection, generation_id: int) -> int:
    """How many chunks of any workspace have a vector in the generation, but no row for their words."""
    row = await (await connection.execute(_WITHOUT, {"generation": generation_id})).fetchone()
    return int(row[0]) if row else 0


async def wrong_statistics(connection: WorkspaceConnection, generation_id: int) -> int:
    """How many of a generation's sums are not those of its words, in every workspace; reads every row of them."""
    row = await (await connection.execute(_WRONG, {"generation": generation_id})).fetchone()
    return int(row[0]) if row else 0


async def forget_statistics(connection: WorkspaceConnection) -> None:
    """Delete the statistics of generations that are gone, in every workspace."""
    for table in ("lexical_batch", "lexical_term", "lexical_total"):  # as they become terms
        await connection.execute(sql.SQL(_FORGET).format(table=sql.Identifier(table)))
