"""Indexes: the two partial indexes of each generation, HNSW over its vectors and GIN over its words."""

from collections.abc import Collection, Iterator
from typing import Any

from psycopg import AsyncConnection, sql
from psycopg.errors import DiskFull

from app.domain.index import IndexGeneration
from app.storage.writers import stop_writers

EF_CONSTRUCTION = 200
"""Three times pgvector's own (docs/decisions/0030). A graph that is built narrower loses whole topics where they lie
apart: of a hundred questions some find nothing at all that is near."""
# halfvec has no fixed length in the table, so that generations of any dimension share it: the index casts.
_HNSW = """
CREATE INDEX {concurrently} {name} ON chunk_embedding
USING hnsw ((embedding::halfvec({dimensions})) halfvec_cosine_ops) WITH (ef_construction = {ef_construction})
WHERE generation_id = {id}
"""
_LEXICAL = """
CREATE INDEX {concurrently} {name} ON chunk_lexeme
USING gin (terms) WITH (fastupdate = off) WHERE generation_id = {id}
"""
_STATEMENTS = {"hnsw": _HNSW, "lexical": _LEXICAL}
KINDS = tuple(_STATEMENTS)
"""Of the indexes that each generation has."""
_VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"
# 64 is pgvector's own
_BREADTH = """
SELECT coalesce(
    (SELECT option_value::int FROM pg_options_to_table(reloptions) WHERE option_name = 'ef_construction'), 64
)
FROM pg_class WHERE oid = to_regclass(%s)
"""
_ORPHANS = """
SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid IN ('chunk_embedding'::regclass, 'chunk_lexeme'::regclass)
    AND c.relname ~ '^(hnsw|lexical)_[0-9]+(_new)?$'
    AND split_part(c.relname, '_', 2)::int NOT IN (SELECT id FROM index_generation)
"""
_RESET = "SELECT reset_val FROM pg_settings WHERE name = %s"
_ROWS = "SELECT count(*) FROM chunk_embedding WHERE generation_id = %s"
_UP_TO = "SELECT count(*) FROM (SELECT FROM chunk_embedding WHERE generation_id = %s LIMIT %s) counted"
_LINKS_BYTES = 512  # of one element in the HNSW graph beside its vector (m = 16), roughly
_MEMORY_MB = (64, 2048)
_WORKERS = 2

Connection = AsyncConnection[Any]


async def create_indexes(connection: Connection, generation: IndexGeneration) -> None:
    """Create the indexes of an empty generation, within a transaction."""
    for _name, statement in _creations(generation, concurrently=False):
        await connection.execute(statement)


async def build_indexes(connection: Connection, generation: IndexGeneration, kinds: Collection[str] = KINDS) -> None:
    """Build the indexes of a filled generation without holding up readers or writers; those that are there stay.

    `connection` is in autocommit mode. What a build that was cut off left behind goes first.
    """
    if missing := await _missing(connection, generation, kinds):
        await _build(connection, generation, missing)


async def renew_index(connection: Connection, generation: IndexGeneration) -> bool:
    """Build the HNSW index anew if it was built narrower than they are now; tells whether it was.

    It is searched and written to meanwhile; the new one takes its place in one transaction, for which writers wait.
    `connection` is in autocommit mode.
    """
    [(former, _)] = _creations(generation, concurrently=True, kinds=("hnsw",))
    row = await (await connection.execute(_BREADTH, (former,))).fetchone()
    if row is None or row[0] >= EF_CONSTRUCTION:
        return False
    [(name, statement)] = _creations(generation, concurrently=True, kinds=("hnsw",), suffix="_new")
    await _build(connection, generation, [(name, statement)])
    async with connection.transaction():
        await stop_writers(connection)
        await connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(former)))
        await connection.execute(
            sql.SQL("ALTER INDEX {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(former))
        )
    return True


async def _build(
    connection: Connection, generation: IndexGeneration, creations: Collection[tuple[str, sql.Composed]]
) -> None:
    """Create indexes of a filled generation by their statements, with the memory and the processors that they want."""
    row = await (await connection.execute(_ROWS, (generation.id,))).fetchone()
    servers_mb = await _servers_own(connection, "maintenance_work_mem") // 1024
    memory_mb = build_memory_mb(row[0] if row else 0, generation.dimensions, most_mb=servers_mb)
    workers = max(_WORKERS, await _servers_own(connection, "max_parallel_maintenance_workers"))
    await _set(connection, "maintenance_work_mem", f"{memory_mb}MB")
    await _set(connection, "statement_timeout", "0")  # of a role that serves questions, perhaps
    for name, statement in creations:
        await _drop(connection, name)
        await _set(connection, "max_parallel_maintenance_workers", str(workers))
        try:
            await connection.execute(statement)
        except DiskFull:  # parallel builds share memory through /dev/shm, which containers keep small
            await _drop(connection, name)
            await _set(connection, "max_parallel_maintenance_workers", "0")
            await connection.execute(statement)


def build_memory_mb(rows: int, dimensions: int, *, most_mb: int = 0) -> int:
    """Memory in which so many vectors' HNSW graph is built, 2 GB or `most_mb` of it if that is more.

    A graph that has not enough of it is built many times slower.
    """
    needed_mb = rows * (2 * dimensions + _LINKS_BYTES) * 5 // 4 // 2**20
    return min(max(needed_mb, _MEMORY_MB[0]), max(_MEMORY_MB[1], most_mb))


async def vectors_up_to(connection: Connection, generation: IndexGeneration, limit: int) -> int:
    """How many vectors a generation has, counted up to `limit`."""
    row = await (await connection.execute(_UP_TO, (generation.id, limit))).fetchone()
    return int(row[0]) if row else 0


async def lacks_indexes(connection: Connection, generation: IndexGeneration) -> bool:
    """Whether an index of a generation is not there, or was not built to its end."""
    return bool(await _missing(connection, generation, KINDS))


async def _missing(
    connection: Connection, generation: IndexGeneration, kinds: Collection[str]
) -> list[tuple[str, sql.Composed]]:
    """The indexes that are not there or were not built to their end, and the statements that create them."""
    return [
        (name, statement)
        for name, statement in _creations(generation, concurrently=True, kinds=kinds)
        if await (await connection.execute(_VALID, (name,))).fetchone() != (True,)
    ]


async def drop_indexes(connection: Connection, generation: IndexGeneration) -> None:
    """Drop the indexes of a generation, without holding up readers; `connection` is in autocommit mode."""
    for name, _statement in _creations(generation, concurrently=True):
        await _drop(connection, name)


async def drop_orphans(connection: Connection) -> None:
    """Drop the indexes whose generation is gone, without holding up readers; `connection` is in autocommit mode."""
    for (name,) in await (await connection.execute(_ORPHANS)).fetchall():
        await _drop(connection, name)


async def _drop(connection: Connection, name: str) -> None:
    await connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(name)))


def _creations(
    generation: IndexGeneration, *, concurrently: bool, kinds: Collection[str] = KINDS, suffix: str = ""
) -> Iterator[tuple[str, sql.Composed]]:
    """Each index's name and the statement that creates it."""
    for kind in kinds:
        name = f"{kind}_{generation.id}{suffix}"
        yield (
            name,
            sql.SQL(_STATEMENTS[kind]).format(
                concurrently=sql.SQL("CONCURRENTLY" if concurrently else ""),
                name=sql.Identifier(name),
                dimensions=sql.Literal(generation.dimensions),
                id=sql.Literal(generation.id),
                ef_construction=sql.Literal(EF_CONSTRUCTION),
            ),
        )


async def _servers_own(connection: Connection, name: str) -> int:
    """What the server or the role sets, in the setting's unit."""
    row = await (await connection.execute(_RESET, (name,))).fetchone()
    return int(row[0]) if row else 0


async def _set(connection: Connection, name: str, value: str) -> None:
    await connection.execute("SELECT set_config(%s, %s, false)", (name, value))
