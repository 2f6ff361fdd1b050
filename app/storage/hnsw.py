"""HNSW: the partial vector index of each generation."""

from typing import Any

from psycopg import AsyncConnection, sql
from psycopg.errors import DiskFull

from app.domain.index import IndexGeneration

# halfvec has no fixed length in the table, so that generations of any dimension share it: the index casts.
_CREATE = """
CREATE INDEX {concurrently} {name} ON chunk_embedding
USING hnsw ((embedding::halfvec({dimensions})) halfvec_cosine_ops) WHERE generation_id = {id}
"""
_VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"
_ORPHANS = """
SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = 'chunk_embedding'::regclass AND c.relname LIKE 'hnsw\\_%'
    AND c.relname NOT IN (SELECT 'hnsw_' || id FROM index_generation)
"""
_ROWS = "SELECT count(*) FROM chunk_embedding WHERE generation_id = %s"
_LINKS_BYTES = 512  # of one element in the graph beside its vector (m = 16), roughly
_MEMORY_MB = (64, 2048)
_WORKERS = 2

Connection = AsyncConnection[Any]


def index_name(generation_id: int) -> str:
    """What a generation's index is called."""
    return f"hnsw_{generation_id}"


async def create_hnsw(connection: Connection, generation: IndexGeneration) -> None:
    """Create the index of an empty generation, within a transaction."""
    await connection.execute(_create(generation, concurrently=False))


async def hnsw_is_valid(connection: Connection, generation_id: int) -> bool | None:
    """Whether the index is there and whole; False: left over from a build that was cut off; None: not there."""
    row = await (await connection.execute(_VALID, (index_name(generation_id),))).fetchone()
    return bool(row[0]) if row else None


async def build_hnsw(connection: Connection, generation: IndexGeneration) -> bool:
    """Build the index of a filled generation without holding up readers or writers; False when it was there already.

    `connection` is in autocommit mode. What a build that was cut off left behind goes first.
    """
    valid = await hnsw_is_valid(connection, generation.id)
    if valid:
        return False
    await drop_hnsw(connection, index_name(generation.id))
    row = await (await connection.execute(_ROWS, (generation.id,))).fetchone()
    needed_mb = (row[0] if row else 0) * (2 * generation.dimensions + _LINKS_BYTES) * 5 // 4 // 2**20
    memory_mb = min(max(needed_mb, _MEMORY_MB[0]), _MEMORY_MB[1])
    await _set(connection, "maintenance_work_mem", f"{memory_mb}MB")
    await _set(connection, "max_parallel_maintenance_workers", str(_WORKERS))
    try:
        await connection.execute(_create(generation, concurrently=True))
    except DiskFull:  # parallel builds share memory through /dev/shm, which containers keep small
        await drop_hnsw(connection, index_name(generation.id))
        await _set(connection, "max_parallel_maintenance_workers", "0")
        await connection.execute(_create(generation, concurrently=True))
    return True


async def drop_hnsw(connection: Connection, name: str) -> None:
    """Drop an index without holding up readers; `connection` is in autocommit mode."""
    await connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(name)))


async def drop_orphans(connection: Connection) -> None:
    """Drop the indexes whose generation is gone; `connection` is in autocommit mode."""
    for (name,) in await (await connection.execute(_ORPHANS)).fetchall():
        await drop_hnsw(connection, name)


def _create(generation: IndexGeneration, *, concurrently: bool) -> sql.Composed:
    return sql.SQL(_CREATE).format(
        concurrently=sql.SQL("CONCURRENTLY" if concurrently else ""),
        name=sql.Identifier(index_name(generation.id)),
        dimensions=sql.Literal(generation.dimensions),
        id=sql.Literal(generation.id),
    )


async def _set(connection: Connection, name: str, value: str) -> None:
    await connection.execute("SELECT set_config(%s, %s, false)", (name, value))
