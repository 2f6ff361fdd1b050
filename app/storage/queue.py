"""Queue: procrastinate on PostgreSQL, in the schema `queue`; the API puts jobs into it, workers take them out."""

from typing import Any
from uuid import UUID

from procrastinate import App, PsycopgConnector

from app.storage.engine import CONNECT_TIMEOUT_S, WorkspaceConnection, libpq_url

SCHEMA = "queue"
QUEUE = "ingest"
UPLOAD = "footnote.upload"
"""The task that brings an uploaded file into its collection; its arguments are those of `enqueue`."""


def open_queue(url: str, *, pool_size: int = 2) -> App:
    """A queue on a database; `async with queue.open_async()` connects it."""
    arguments: dict[str, Any] = {"options": f"-c search_path={SCHEMA},public", "connect_timeout": CONNECT_TIMEOUT_S}
    connector = PsycopgConnector(conninfo=libpq_url(url), min_size=1, max_size=pool_size, kwargs=arguments)
    return App(connector=connector)


async def enqueue(connection: WorkspaceConnection, queue: App, workspace_id: UUID, job_id: UUID, *, lock: str) -> None:
    """Put a job into the queue when the transaction commits; those of one `lock` are done one after the other."""
    await connection.execute(f"SET LOCAL search_path TO {SCHEMA}, public")
    deferrer = queue.configure_task(UPLOAD, queue=QUEUE, lock=lock, connection=connection)
    await deferrer.defer_async(workspace_id=str(workspace_id), job_id=str(job_id))
    await connection.execute("SET LOCAL search_path TO DEFAULT")
