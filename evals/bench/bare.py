"""Bare SQL: what psycopg and PostgreSQL need at least, written by hand for this corpus and nothing else.

Three ways to the same columns: the HNSW index of the real tables; a narrow table (vector inline, one boolean a field,
laid out by collection) with every row that passes measured; and that table's own HNSW index, iterating.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from pgvector import HalfVector
from pgvector.psycopg import register_vector_async
from psycopg import sql
from psycopg.rows import tuple_row

from app.domain.index import IndexGeneration
from app.domain.principal import DEFAULT_WORKSPACE_ID
from evals.bench.loading import COLLECTIONS
from evals.bench.peer_tables import hnsw
from evals.bench.probes import Narrowing, Probe
from evals.bench.synthetic import DIMENSIONS, FIELDS, KINDS

NARROW = "bench_narrow"
# OFFSET 0: row by row through the primary keys. PostgreSQL takes row-level security for more selective than it is, and
# may start from every version there is.
_PASSAGES = """
SELECT c.id::text, c.document_id, v.id, v.title, o.source_uri, c.heading_path, c.page, c.char_start, c.char_end, c.text,
    1 - n.distance, v.metadata || c.metadata, c.space_after
FROM near n
CROSS JOIN LATERAL (SELECT * FROM chunk WHERE id = n.chunk_id OFFSET 0) c
CROSS JOIN LATERAL (SELECT * FROM document_version WHERE id = c.document_version_id AND valid_to IS NULL OFFSET 0) v
CROSS JOIN LATERAL (SELECT * FROM document WHERE id = c.document_id OFFSET 0) o
ORDER BY n.distance
"""
_INDEX = """
WITH near AS MATERIALIZED (
    SELECT chunk_id, embedding::halfvec({dimensions}) <=> %(vector)s::halfvec AS distance
    FROM chunk_embedding WHERE generation_id = {generation}
    ORDER BY embedding::halfvec({dimensions}) <=> %(vector)s::halfvec LIMIT %(k)s
)
"""
_PREFILTER = """
WITH near AS MATERIALIZED (
    SELECT chunk_id, distance FROM (
        SELECT id AS chunk_id, embedding <=> %(vector)s::halfvec AS distance
        FROM {narrow} {where} OFFSET 0
    ) measured ORDER BY distance LIMIT %(k)s
)
"""
_ITERATIVE = """
WITH near AS MATERIALIZED (
    SELECT id AS chunk_id, embedding <=> %(vector)s::halfvec AS distance FROM {narrow} {where}
    ORDER BY embedding <=> %(vector)s::halfvec LIMIT %(k)s
)
"""
STATEMENTS = {"index": _INDEX, "prefilter": _PREFILTER, "iterative": _ITERATIVE}
_SESSION = {
    "footnote.workspace_id": str(DEFAULT_WORKSPACE_ID),
    "jit": "off",
    "hnsw.iterative_scan": "strict_order",
    "plan_cache_mode": "force_generic_plan",
}
# Left alone, the planner takes a filter's own index or a scan, and sorts: then it is not an iterative scan.
_ONLY_HNSW = {"enable_sort": "off", "enable_seqscan": "off", "enable_bitmapscan": "off"}


class BareSql:
    """One prepared statement on connections of its own, binary both ways."""

    def __init__(self, name: str, statement: str, generation: IndexGeneration) -> None:
        self._name = name
        self._statement = statement
        self._generation = generation
        self._free = asyncio.LifoQueue[psycopg.AsyncConnection[Any]]()
        self._texts: dict[Narrowing, bytes] = {}

    @property
    def name(self) -> str:
        """What the tables call it."""
        return self._name

    @asynccontextmanager
    async def opened(self, url: str, *, clients: int, ef_search: int) -> AsyncIterator["BareSql"]:
        """With one connection for each client, until the block ends."""
        settings = _SESSION | {"hnsw.ef_search": str(ef_search)}
        settings |= _ONLY_HNSW if self._statement == "iterative" else {}
        connections = [await _connect(url, settings) for _ in range(clients)]
        for connection in connections:
            self._free.put_nowait(connection)
        try:
            yield self
        finally:
            for connection in connections:
                await connection.close()

    async def search(self, probe: Probe, k: int) -> Sequence[str]:
        """Ids of the best `k` chunks, best first; every column is read."""
        async with self.connection() as connection:
            cursor = connection.cursor(row_factory=tuple_row, binary=True)
            text = self._texts.get(probe.narrowing)
            if text is None:
                text = self._texts[probe.narrowing] = self.statement(probe.narrowing).as_bytes(connection)
            await cursor.execute(text, _values(probe, k), prepare=True)
            return [row[0] for row in await cursor.fetchall()]

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """One of its connections, waited for."""
        connection = await self._free.get()
        try:
            yield connection
        finally:
            self._free.put_nowait(connection)

    def statement(self, narrowing: Narrowing) -> sql.Composed:
        """The statement for a scope; `index` knows no scope but everything."""
        conditions = [sql.Identifier(narrowing.field)] if narrowing.field is not None else []
        tenant = [sql.SQL("tenant = %(tenant)s")] if narrowing.collection is not None else []
        where = sql.SQL(" AND ").join([*conditions, *tenant])
        return sql.SQL(STATEMENTS[self._statement] + _PASSAGES).format(
            dimensions=sql.Literal(DIMENSIONS),
            generation=sql.Literal(self._generation.id),
            narrow=sql.Identifier(NARROW),
            where=sql.SQL("WHERE ") + where if conditions or tenant else sql.SQL(""),
        )


def _values(probe: Probe, k: int) -> dict[str, object]:
    values: dict[str, object] = {"vector": HalfVector(probe.vector), "k": k}
    if probe.narrowing.collection is not None:
        values["tenant"] = COLLECTIONS.index(probe.narrowing.collection)
    return values


async def _connect(url: str, settings: dict[str, str]) -> psycopg.AsyncConnection[Any]:
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    for name, value in settings.items():
        await connection.execute("SELECT set_config(%s, %s, false)", (name, value))
    await register_vector_async(connection)
    return connection


_COUNT = "SELECT count(*) FROM {narrow}"
_FILL = """
INSERT INTO {narrow}
SELECT e.chunk_id, array_position(%s, n.name) - 1, {flags}, e.embedding
FROM chunk_embedding e JOIN collection n ON n.id = e.collection_id
WHERE e.generation_id = %s ORDER BY n.name, e.metadata -> 'topic' ->> 0, e.chunk_id
"""


async def fill_narrow(connection: psycopg.AsyncConnection[Any], generation: IndexGeneration, chunks: int) -> None:
    """Make the narrow table with its indexes, unless it is there with so many rows; autocommit."""
    narrow = sql.Identifier(NARROW)
    there = await (await connection.execute("SELECT to_regclass(%s)", (NARROW,))).fetchone()
    if there != (None,):
        row = await (await connection.execute(sql.SQL(_COUNT).format(narrow=narrow))).fetchone()
        if row == (chunks,):
            return
    columns = sql.SQL(", ").join(sql.SQL("{} boolean NOT NULL").format(sql.Identifier(name)) for name in FIELDS)
    flags = sql.SQL(", ").join(sql.SQL("e.metadata -> {} ->> 0 = 'yes'").format(name) for name in FIELDS)
    async with connection.transaction():
        await connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(narrow))
        await connection.execute(
            sql.SQL(
                "CREATE TABLE {} (id uuid PRIMARY KEY, tenant int NOT NULL, {}, "
                "embedding halfvec({}) STORAGE PLAIN NOT NULL)"
            ).format(narrow, columns, sql.Literal(DIMENSIONS))
        )
        await connection.execute(sql.SQL(_FILL).format(narrow=narrow, flags=flags), (list(COLLECTIONS), generation.id))
        for name in [f"{kind}_{share}" for kind in KINDS for share in ("10", "1", "01")]:
            await connection.execute(
                sql.SQL("CREATE INDEX ON {} (tenant) WHERE {}").format(narrow, sql.Identifier(name))
            )
        await connection.execute(sql.SQL("CREATE INDEX ON {} (tenant)").format(narrow))
        await connection.execute("SET LOCAL maintenance_work_mem = '1GB'")
        await connection.execute(hnsw(NARROW, "halfvec_cosine_ops", f"{NARROW}_hnsw"))
    await connection.execute(sql.SQL("VACUUM ANALYZE {}").format(narrow))
