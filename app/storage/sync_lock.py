"""Sync lock: one sync of a source at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import blake2b
from time import monotonic
from uuid import UUID

from psycopg import AsyncConnection

from app.domain.errors import SyncRunning
from app.storage.engine import CONNECT_TIMEOUT_S, Database, unavailable

# A server process whose client was killed notices within this time, so that its lock goes.
_CLIENT_CHECK = "SET client_connection_check_interval = '250ms'"
_LOCK = "SELECT pg_try_advisory_lock(%s)"
_LOCK_WAIT_S = 3.0  # a little more than it takes to notice a killed predecessor


@asynccontextmanager
async def sync_lock(database: Database, workspace_id: UUID, source: str, *, wait: bool = False) -> AsyncIterator[None]:
    """The only sync of this source until the block ends; the lock goes with the connection, however that ends.

    Raises SyncRunning when another process holds it, unless `wait`: then it waits for as long as that takes.
    """
    digest = blake2b(f"sync {workspace_id} {source}".encode(), digest_size=8).digest()
    key, deadline = int.from_bytes(digest, "big", signed=True), monotonic() + _LOCK_WAIT_S
    with unavailable():
        connection = await AsyncConnection.connect(database.url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S)
    async with connection:
        await connection.execute(_CLIENT_CHECK)
        while not await _locked(connection, key):
            if not wait and monotonic() > deadline:
                raise SyncRunning(
                    f"{source} is being synced by another process; wait for it, or run the same command with --wait."
                )
            await asyncio.sleep(0.1)
        yield


async def _locked(connection: AsyncConnection[tuple[object, ...]], key: int) -> bool:
    row = await (await connection.execute(_LOCK, (key,))).fetchone()
    return bool(row and row[0])
