"""Peer tables: the same chunks and vectors in the tables that other stores make for themselves."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from pgvector.psycopg import register_vector_async
from psycopg import sql

from app.domain.index import IndexGeneration
from app.domain.ports import Vectors
from app.domain.principal import DEFAULT_WORKSPACE_ID
from app.storage.indexes import EF_CONSTRUCTION

_BATCH = 1000
_CHUNKS = """
SELECT e.chunk_id::text, c.text, v.metadata || jsonb_build_object('collection', n.name), e.embedding
FROM chunk_embedding e
JOIN chunk c ON c.id = e.chunk_id
JOIN document_version v ON v.id = c.document_version_id
JOIN collection n ON n.id = e.collection_id
WHERE e.generation_id = %s ORDER BY e.chunk_id
"""


@dataclass(frozen=True, slots=True)
class PeerChunk:
    """A chunk as stored: its metadata has its collection too."""

    id: str
    text: str
    metadata: dict[str, Any]
    vector: Vectors


@dataclass(frozen=True, slots=True)
class PeerTable:
    """A table that a peer made: the columns to fill with their types, and what a row of a chunk is."""

    name: str
    columns: Sequence[str]
    types: Sequence[str]
    row: Callable[[PeerChunk], Sequence[object]]


async def is_filled(connection: psycopg.AsyncConnection[Any], table: str, chunks: int) -> bool:
    """Whether the table is there with so many rows; one that has others is dropped, since its load was cut off."""
    name = sql.Identifier(table)
    if await (await connection.execute("SELECT to_regclass(%s)", (table,))).fetchone() == (None,):
        return False
    row = await (await connection.execute(sql.SQL("SELECT count(*) FROM {}").format(name))).fetchone()
    if row == (chunks,):
        return True
    await connection.execute(sql.SQL("DROP TABLE {}").format(name))
    return False


async def fill(url: str, generation: IndexGeneration, table: PeerTable, statements: Sequence[sql.Composed]) -> None:
    """Copy every chunk into an empty table, then run `statements` (its indexes); one transaction, then ANALYZE."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("SET maintenance_work_mem = '1GB'")
        await register_vector_async(connection)
        async with connection.transaction():
            target = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
                sql.Identifier(table.name), sql.SQL(", ").join(map(sql.Identifier, table.columns))
            )
            async with connection.cursor().copy(target) as copy:
                copy.set_types(table.types)
                async for chunk in _chunks(url, generation):
                    await copy.write_row(table.row(chunk))
            for statement in statements:
                await connection.execute(statement)
        await connection.execute(sql.SQL("VACUUM ANALYZE {}").format(sql.Identifier(table.name)))


def hnsw(table: str, operators: str, name: str) -> sql.Composed:
    """An HNSW index over `embedding`, built as broad as Footnote's."""
    return sql.SQL("CREATE INDEX {} ON {} USING hnsw (embedding {}) WITH (ef_construction = {})").format(
        sql.Identifier(name), sql.Identifier(table), sql.SQL(operators), sql.Literal(EF_CONSTRUCTION)
    )


async def _chunks(url: str, generation: IndexGeneration) -> AsyncIterator[PeerChunk]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute("SELECT set_config('footnote.workspace_id', %s, false)", (str(DEFAULT_WORKSPACE_ID),))
        await register_vector_async(connection)
        async with connection.cursor("chunks", binary=True) as cursor:
            cursor.itersize = _BATCH
            await cursor.execute(_CHUNKS, (generation.id,))
            async for chunk_id, text, metadata, vector in cursor:
                yield PeerChunk(chunk_id, text, metadata, vector.to_numpy())
