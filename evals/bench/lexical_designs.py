"""Lexical designs: four ways to keep BM25 in PostgreSQL, each written and searched by plain statements.

All read the same lexemes, hash them to 29 bits, keep N, n and the average length live, and search from a question's
text to ids and scores in one statement. Posting rows, GIN + sparsevec and posting blocks are written here, with
statistics that one writer can keep; impact levels are Footnote's own tables, triggers and lexical statement, without
the join with the passages (docs/decisions/0008).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection, AsyncRawCursor
from psycopg.rows import TupleRow, tuple_row

from app.domain.index import IndexGeneration
from app.storage.passages import SearchOptions, likely_for
from app.storage.search_sql import Shape, Statement, numbered, statement
from evals.bench.probes import Probe

Connection = AsyncConnection[Any]
COLLECTION = "race"
_DROPPED_SHARE = 0.05  # GIN + sparsevec proposes no chunk for words that stand in more of them than this
_NO_CAP = 1_000_000_000

COMMON = """
CREATE FUNCTION race_terms(words tsvector) RETURNS TABLE (lexeme text, term int, tf int) LANGUAGE sql IMMUTABLE AS $$
    SELECT lexeme, greatest(1, (hashtextextended(lexeme, 0) & 536870911)::int), cardinality(positions)
    FROM unnest(words)
$$
"""
# The statistics that the three share, each in a schema of its own.
_STATISTICS = (
    "CREATE SCHEMA {s}",
    "CREATE TABLE {s}.term (term int PRIMARY KEY, chunks int NOT NULL) WITH (fillfactor = 70)",
    "CREATE TABLE {s}.total (chunks bigint NOT NULL, length bigint NOT NULL)",
    "INSERT INTO {s}.total VALUES (0, 0)",
)
_WRITE = """
WITH texts AS MATERIALIZED (
    SELECT i.chunk, to_tsvector('english', lexical_text(i.words)) AS words
    FROM unnest(%(chunks)s::int[], %(texts)s::text[]) i(chunk, words)
),
counts AS MATERIALIZED (
    SELECT t.chunk, w.term, w.tf, w.length, (w.tf / (w.tf + 1.2 * (0.25 + 0.0075::float8 * w.length)))::real AS impact
    FROM texts t, LATERAL (
        SELECT term, sum(tf)::int AS tf, sum(sum(tf)) OVER ()::int AS length
        FROM race_terms(t.words) GROUP BY term OFFSET 0
    ) w
),
vectors AS (
    SELECT chunk, max(length) AS length,
        ('{' || string_agg(term || ':' || impact, ',') || '}/536870912')::sparsevec AS impacts
    FROM counts GROUP BY chunk
),
counted AS (
    INSERT INTO {s}.term AS t SELECT term, {sign} * count(*) FROM counts GROUP BY term ORDER BY term
    ON CONFLICT (term) DO UPDATE SET chunks = t.chunks + excluded.chunks
),
summed AS (
    UPDATE {s}.total SET chunks = chunks + {sign} * cardinality(%(chunks)s::int[]),
        length = length + {sign} * (SELECT coalesce(sum(tf), 0) FROM counts)
)"""
_READ = """
WITH totals AS MATERIALIZED (
    SELECT chunks::float8 AS chunks, length::float8 / nullif(chunks, 0) AS average,
        ceil(greatest(%(cap)s::float8, 7 * sqrt(chunks::float8)))::int AS cap
    FROM {s}.total
),
query AS MATERIALIZED (
    SELECT w.lexeme, w.term, t.chunks, w.tf * ln(1 + (a.chunks - t.chunks + 0.5) / (t.chunks + 0.5)) AS weight
    FROM totals a, race_terms(to_tsvector('english', lexical_text(%(text)s))) w
    CROSS JOIN LATERAL (SELECT chunks::float8 AS chunks FROM {s}.term WHERE term = w.term AND chunks > 0 OFFSET 0) t
)"""
_SCORE = "sum(q.weight * p.tf * 2.2 / (p.tf + 1.2 * (0.25 + 0.75 * (p.length / a.average))))"
# tf is computed back from a chunk's impacts, as in the real statement.
_RESCORED = """,
units AS MATERIALIZED (SELECT weight, ('{' || term || ':1}/536870912')::sparsevec AS unit FROM query)
SELECT p.chunk, {score} AS score
FROM (
    SELECT f.chunk, f.length, q.weight,
        round(i.impact * 1.2 * (0.25 + 0.0075::float8 * f.length) / (1 - i.impact)) AS tf
    FROM likely f CROSS JOIN units q CROSS JOIN LATERAL (SELECT -(f.impacts <#> q.unit) AS impact OFFSET 0) i
    WHERE i.impact > 0 OFFSET 0
) p CROSS JOIN LATERAL (SELECT p.weight) q CROSS JOIN totals a
GROUP BY p.chunk ORDER BY score DESC, p.chunk LIMIT %(k)s
"""

_ADD_ROWS = " INSERT INTO {s}.posting SELECT term, chunk, impact, tf, length FROM counts"
_REMOVE_ROWS = " DELETE FROM {s}.posting p USING counts c WHERE p.term = c.term AND p.chunk = c.chunk"
_ALL_ROWS = """
SELECT p.chunk, {score} AS score
FROM query q CROSS JOIN totals a
CROSS JOIN LATERAL (SELECT chunk, tf, length FROM {s}.posting WHERE term = q.term OFFSET 0) p
GROUP BY p.chunk ORDER BY score DESC, p.chunk LIMIT %(k)s
"""
# Of each word at most `cap` rows, those where it weighs most; the best by these sums are looked up word by word.
_FEW_ROWS = """,
likely AS MATERIALIZED (
    SELECT p.chunk FROM query q CROSS JOIN LATERAL (
        SELECT chunk, impact FROM {s}.posting WHERE term = q.term
        ORDER BY impact DESC LIMIT (SELECT cap FROM totals)
    ) p
    GROUP BY p.chunk ORDER BY sum(q.weight * p.impact) DESC LIMIT %(wider)s
)
SELECT p.chunk, {score} AS score
FROM likely l CROSS JOIN query q CROSS JOIN totals a
CROSS JOIN LATERAL (SELECT chunk, tf, length FROM {s}.posting WHERE term = q.term AND chunk = l.chunk OFFSET 0) p
GROUP BY p.chunk ORDER BY score DESC, p.chunk LIMIT %(k)s
"""

_VECTOR_TABLE = """
CREATE TABLE {s}.vector (chunk int NOT NULL, length int NOT NULL, {words} impacts sparsevec STORAGE MAIN NOT NULL)
WITH (toast_tuple_target = 8160)
"""
_ADD_LEXEMES = """
INSERT INTO {s}.vector (chunk, length, words, impacts)
SELECT v.chunk, v.length, strip(t.words), v.impacts FROM vectors v JOIN texts t USING (chunk)
"""
_REMOVE_VECTORS = " DELETE FROM {s}.vector WHERE chunk = ANY (%(chunks)s::int[])"
_MATCHED = """,
asked AS MATERIALIZED (
    SELECT ('{' || string_agg(term || ':' || weight::real, ',') || '}/536870912')::sparsevec AS weights,
        string_agg('''' || replace(replace(lexeme, '\\', '\\\\'), '''', '''''') || '''', ' | ')
            FILTER (WHERE q.chunks <= %(share)s::float8 * a.chunks OR rarity = 1)::tsquery AS words
    FROM (SELECT *, row_number() OVER (ORDER BY chunks) AS rarity FROM query) q, totals a
),
likely AS MATERIALIZED (
    SELECT l.chunk, l.length, l.impacts FROM {s}.vector l WHERE l.words @@ (SELECT words FROM asked)
    ORDER BY l.impacts <#> (SELECT weights FROM asked) LIMIT %(likely)s
)"""

# Blocks of 512 in the order of their impacts, so that a word's first blocks hold the chunks where it weighs most. A new
# posting joins the block its impact falls into; blocks are neither split nor joined.
_BLOCK_TABLE = """
CREATE TABLE {s}.block (
    term int, no int, most real NOT NULL, least real NOT NULL, chunks int[], tfs smallint[], lengths smallint[]
)
"""
_STAGE = """,
kept AS (INSERT INTO {s}.vector SELECT chunk, length, impacts FROM vectors)
INSERT INTO {s}.staged SELECT term, chunk, impact, tf, length FROM counts
"""
_CUT_BLOCKS = """
INSERT INTO {s}.block
SELECT term, (place - 1) / 512, max(impact), min(impact), array_agg(chunk), array_agg(tf), array_agg(length)
FROM (SELECT *, row_number() OVER (PARTITION BY term ORDER BY impact DESC) AS place FROM {s}.staged) s GROUP BY 1, 2
"""
_ADD_TO_BLOCKS = """,
kept AS (INSERT INTO {s}.vector SELECT chunk, length, impacts FROM vectors)
INSERT INTO {s}.block AS b
SELECT c.term, coalesce(
        (SELECT no FROM {s}.block b WHERE b.term = c.term AND b.most >= c.impact ORDER BY b.most, no LIMIT 1),
        (SELECT no FROM {s}.block b WHERE b.term = c.term ORDER BY b.most DESC, no LIMIT 1), 0
    ) AS no, max(impact), min(impact), array_agg(chunk), array_agg(tf::smallint), array_agg(length::smallint)
FROM counts c GROUP BY 1, 2
ON CONFLICT (term, no) DO UPDATE SET most = greatest(b.most, excluded.most), least = least(b.least, excluded.least),
    chunks = b.chunks || excluded.chunks, tfs = b.tfs || excluded.tfs, lengths = b.lengths || excluded.lengths
"""
_REMOVE_FROM_BLOCKS = """,
kept AS (DELETE FROM {s}.vector WHERE chunk = ANY (%(chunks)s::int[])),
gone AS MATERIALIZED (
    SELECT b.term, b.no, array_agg(c.chunk) AS chunks
    FROM counts c CROSS JOIN LATERAL (
        SELECT term, no FROM {s}.block
        WHERE term = c.term AND c.impact BETWEEN least AND most AND c.chunk = ANY (chunks) OFFSET 0
    ) b GROUP BY 1, 2
)
UPDATE {s}.block b SET (chunks, tfs, lengths) = (
    SELECT array_agg(u.chunk), array_agg(u.tf), array_agg(u.length)
    FROM unnest(b.chunks, b.tfs, b.lengths) u(chunk, tf, length) WHERE u.chunk <> ALL (g.chunks)
) FROM gone g WHERE b.term = g.term AND b.no = g.no
"""
_UNNESTED = """,
rows AS (
    SELECT q.weight, unnest(b.chunks) AS chunk, unnest(b.tfs) AS tf, unnest(b.lengths) AS length
    FROM query q CROSS JOIN LATERAL (
        SELECT chunks, tfs, lengths FROM {s}.block WHERE term = q.term
        ORDER BY most DESC LIMIT (SELECT ceil(cap / 512.0) FROM totals)
    ) b
)"""
_ALL_BLOCKS = """
SELECT p.chunk, {score} AS score FROM rows p CROSS JOIN LATERAL (SELECT p.weight) q CROSS JOIN totals a
GROUP BY p.chunk ORDER BY score DESC, p.chunk LIMIT %(k)s
"""
_FEW_BLOCKS = """,
best AS MATERIALIZED (
    SELECT p.chunk FROM rows p CROSS JOIN LATERAL (SELECT p.weight) q CROSS JOIN totals a
    GROUP BY p.chunk ORDER BY {score} DESC LIMIT %(wider)s
),
likely AS MATERIALIZED (
    SELECT v.* FROM best CROSS JOIN LATERAL (SELECT * FROM {s}.vector WHERE chunk = best.chunk OFFSET 0) v
)"""

_ADD_LEVELS = """
INSERT INTO chunk_lexeme (chunk_id, generation_id, collection_id, config, length, terms, impacts)
SELECT lpad(to_hex(i.chunk), 32, '0')::uuid, %(generation)s, %(collection_id)s, 'english', r.length, r.terms, r.impacts
FROM unnest(%(chunks)s::int[], %(texts)s::text[]) i(chunk, words),
    lexical_row(%(collection_id)s, 'english', i.words) r
"""
_REMOVE_LEVELS = """
DELETE FROM chunk_lexeme WHERE generation_id = %(generation)s AND chunk_id = ANY (
    SELECT lpad(to_hex(i), 32, '0')::uuid FROM unnest(%(chunks)s::int[]) i
)
"""


@dataclass(frozen=True, slots=True)
class Design:
    """Tables, and how they are written; `fill` loads chunks between `make` and `finish`.

    `fill`, `add` and `remove` take chunks' numbers and texts, in a transaction of the caller's.
    """

    name: str
    make: tuple[str, ...]
    fill: Statement
    finish: tuple[str, ...]
    add: Statement
    remove: Statement
    tables: tuple[str, ...]
    fixed: Mapping[str, object] = field(default_factory=dict)

    async def run(self, connection: Connection, what: Statement, chunks: Sequence[int], texts: Sequence[str]) -> None:
        """`fill`, `add` or `remove` chunks."""
        values = {"chunks": list(chunks), "texts": list(texts), **self.fixed}
        await AsyncRawCursor(connection).execute(what.text, what.arguments(values), prepare=True, binary=True)


@dataclass(frozen=True, slots=True)
class Search:
    """A way to search a design: pruned, or through every posting of the words. A contestant of `racing`.

    `spare` is a relation that it can do without.
    """

    design: Design
    pruned: bool
    connection: Connection
    statement: Statement
    fixed: Mapping[str, object]
    spare: str | None = None

    @property
    def name(self) -> str:
        """What the table calls it."""
        return self.design.name if self.pruned else f"{self.design.name}, all"

    async def search(self, probe: Probe, k: int) -> Sequence[str]:
        """Numbers of the best chunks."""
        return [str(chunk) for chunk, _ in await self.scored(probe.text, k)]

    async def scored(self, text: str, k: int) -> list[tuple[int, float]]:
        """The best chunks by their numbers, with their scores."""
        likely = likely_for(k)
        values = {"text": text, "k": k, "lexical_candidates": k, "likely": likely, "wider": 2 * likely, **self.fixed}
        cursor: AsyncRawCursor[TupleRow] = AsyncRawCursor(self.connection, row_factory=tuple_row)
        await cursor.execute(self.statement.text, self.statement.arguments(values), prepare=True, binary=True)
        rows = await cursor.fetchall()
        return [(chunk.int if isinstance(chunk, UUID) else chunk, score) for chunk, score in rows]

    async def megabytes(self) -> float:
        """The tables with their indexes, without what is spare."""
        query = "SELECT sum(pg_total_relation_size(x::regclass)) FROM unnest(%s::text[]) x"
        sums = []
        for relations in (self.design.tables, (self.spare,) if self.spare else ()):
            row = await (await self.connection.execute(query, (list(relations),))).fetchone()
            sums.append(float(row[0] or 0) if row else 0.0)
        return (sums[0] - sums[1]) / 1e6


def searches(connection: Connection, generation: IndexGeneration, collection_id: UUID) -> list[Search]:
    """Every contestant; those of a design follow each other."""
    # Sums over a part of the postings order worse than whole inner products: with twice the cap and twice the
    # candidates of the impact levels, posting rows and blocks find about as much.
    levels, leg = _levels(generation, collection_id), _lexical_leg(generation)
    options = SearchOptions()
    cap, none = {"cap": options.rare_cap}, {"cap": _NO_CAP}
    twice = {"cap": 2 * options.rare_cap}
    real = {"collection": COLLECTION, "k1": options.k1, "b": options.b, "widened": 1.0}
    matched, unnested = _sql("race_gin", _READ + _MATCHED + _RESCORED), _READ + _UNNESTED
    every_block = _sql("race_blocks", unnested + _ALL_BLOCKS)
    return [
        Search(_ROWS, False, connection, _sql("race_rows", _READ + _ALL_ROWS), none, "race_rows.champions"),
        Search(_ROWS, True, connection, _sql("race_rows", _READ + _FEW_ROWS), twice),
        Search(_GIN, False, connection, matched, cap | {"share": 1.0}),
        Search(_GIN, True, connection, matched, cap | {"share": _DROPPED_SHARE}),
        Search(_BLOCKS, False, connection, every_block, none, "race_blocks.vector"),
        Search(_BLOCKS, True, connection, _sql("race_blocks", unnested + _FEW_BLOCKS + _RESCORED), twice),
        Search(levels, False, connection, leg, real | none),
        Search(levels, True, connection, leg, real | cap),
    ]


def _levels(generation: IndexGeneration, collection_id: UUID) -> Design:
    tables = ("chunk_lexeme", "lexical_term", "lexical_total")
    index = f"lexical_{generation.id}"
    built = f"CREATE INDEX {index} ON chunk_lexeme USING gin (terms) WITH (fastupdate = off)"
    finish = (f"{built} WHERE generation_id = {generation.id}", *(f"VACUUM ANALYZE {table}" for table in tables))
    # the other designs have no foreign key to the chunks either
    make = ("ALTER TABLE chunk_lexeme DROP CONSTRAINT fk_chunk_lexeme_chunk_id_chunk", f"DROP INDEX {index}")
    add, remove = numbered(_ADD_LEVELS), numbered(_REMOVE_LEVELS)
    fixed = {"generation": generation.id, "collection_id": collection_id}
    return Design("impact levels", make, add, finish, add, remove, tables, fixed)


def _lexical_leg(generation: IndexGeneration) -> Statement:
    """The hot query's lexical part as it stands, ended before its join with the passages."""
    whole = statement(Shape(generation, "lexical", "exact", "adaptive"))
    leg, found, _ = whole.text.partition(b",\nfused AS (")
    assert found and whole.names[-1] == "k"  # noqa: S101, PT018 - or the statement is made of other parts now
    return Statement(leg + b" SELECT chunk_id, score FROM lexical ORDER BY rank", whole.names[:-1])


def _sql(schema: str, text: str, sign: str = "") -> Statement:
    return numbered(text.replace("{score}", _SCORE).replace("{s}", schema).replace("{sign}", sign))


def _design(
    name: str, schema: str, tables: Sequence[str], make: Sequence[str], finish: Sequence[str], writes: Sequence[str]
) -> Design:
    """A design with statistics of its own; `writes` are to fill, to add and to remove, and go on from `_WRITE`."""
    names = tuple(f"{schema}.{table}" for table in ("term", "total", *tables))
    fill, add, remove = (_sql(schema, _WRITE + text, sign) for text, sign in zip(writes, ("1", "1", "-1"), strict=True))
    made, finished = ([text.replace("{s}", schema) for text in texts] for texts in ((*_STATISTICS, *make), finish))
    vacuum = [f"VACUUM ANALYZE {table}" for table in names]
    return Design(name, tuple(made), fill, (*finished, *vacuum), add, remove, names)


_ROWS = _design(
    "posting rows",
    "race_rows",
    ("posting",),
    ("CREATE TABLE {s}.posting (term int, chunk int, impact real, tf smallint, length smallint)",),
    (
        "CREATE UNIQUE INDEX posting_chunk ON {s}.posting (term, chunk) INCLUDE (tf, length)",
        "CREATE INDEX champions ON {s}.posting (term, impact DESC) INCLUDE (chunk)",
    ),
    (_ADD_ROWS, _ADD_ROWS, _REMOVE_ROWS),
)
_GIN = _design(
    "GIN + sparsevec",
    "race_gin",
    ("vector",),
    (_VECTOR_TABLE.replace("{words}", "words tsvector STORAGE MAIN NOT NULL,"),),
    (
        "CREATE UNIQUE INDEX ON {s}.vector (chunk)",
        "CREATE INDEX ON {s}.vector USING gin (words) WITH (fastupdate = off)",
    ),
    (_ADD_LEXEMES, _ADD_LEXEMES, _REMOVE_VECTORS),
)
_BLOCKS = _design(
    "posting blocks",
    "race_blocks",
    ("block", "vector"),
    (
        _VECTOR_TABLE.replace("{words}", ""),
        _BLOCK_TABLE,
        "CREATE UNLOGGED TABLE {s}.staged (term int, chunk int, impact real, tf smallint, length smallint)",
    ),
    (
        _CUT_BLOCKS,
        "DROP TABLE {s}.staged",
        "CREATE UNIQUE INDEX ON {s}.block (term, no)",
        "CREATE UNIQUE INDEX ON {s}.vector (chunk)",
    ),
    (_STAGE, _ADD_TO_BLOCKS, _REMOVE_FROM_BLOCKS),
)
