"""Maintenance: the one process that may build or drop generations and indexes, and the workspaces it goes through."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection, sql

from app.domain.errors import ReindexRefused
from app.domain.principal import DEFAULT_WORKSPACE_ID
from app.storage.engine import CONNECT_TIMEOUT_S, Database, unavailable
from app.storage.lexemes import WORD_TABLES

_KEY = 0x666F6F74_6275696C  # "footbuil"
# A server process whose client was killed notices within this time, so that its lock goes and its index build ends.
_CLIENT_CHECK = "SET client_connection_check_interval = '250ms'"
_LOCK = f"SELECT pg_try_advisory_lock({_KEY})"
_LOCK_WAIT_S = 3.0  # a little more than it takes to notice a killed predecessor
_LOCKED = f"""
SELECT EXISTS (
    SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (classid::bigint << 32 | objid::bigint) = {_KEY}
)
"""  # noqa: S608 - constants


@asynccontextmanager
async def maintenance(database: Database, *, wait: bool = True) -> AsyncIterator[AsyncConnection[Any]]:
    """A connection in autocommit mode that alone may build or drop generations, until the block ends.

    The lock goes with the connection, so nothing is left behind by a process that is killed. Raises ReindexRefused
    when another process holds it; with `wait` only when it does not end within seconds.
    """
    with unavailable():
        connection = await AsyncConnection.connect(database.url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S)
    async with connection:
        with unavailable():
            await connection.execute(_CLIENT_CHECK)
            await _lock(connection, wait=wait)
            yield connection


async def _lock(connection: AsyncConnection[Any], *, wait: bool) -> None:
    deadline = monotonic() + _LOCK_WAIT_S * wait
    while True:
        row = await (await connection.execute(_LOCK)).fetchone()
        if row and row[0]:
            return
        if monotonic() > deadline:
            raise ReindexRefused(
                "Another `footnote reindex`, or the first load of an ingestion, is at work on this database; "
                "`footnote reindex --status` shows how far."
            )
        await asyncio.sleep(0.1)


async def analyze(connection: AsyncConnection[Any]) -> None:
    """Let the planner know what was written, before questions are asked of it: it would misjudge a new generation."""
    for table in ("chunk", "chunk_embedding", *WORD_TABLES):
        await connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(table)))


async def maintenance_runs(database: Database) -> bool:
    """Whether a process is building or dropping generations now."""
    async with database.connection(DEFAULT_WORKSPACE_ID) as connection:
        row = await (await connection.execute(_LOCKED)).fetchone()
        return bool(row and row[0])


async def workspace_ids(database: Database) -> list[UUID]:
    """Every workspace; only maintenance may list them, and it enters them one by one."""
    async with database.connection(DEFAULT_WORKSPACE_ID) as connection:
        await connection.execute("SELECT set_config('footnote.maintenance', 'on', true)")
        return [row[0] for row in await (await connection.execute("SELECT id FROM workspace ORDER BY id")).fetchall()]
