"""Jobs: files that were uploaded, from the moment they are here to the document that they become."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec
from procrastinate import App

from app.domain.errors import JobNotFailed, JobNotFound
from app.domain.job import Job, JobState, Upload
from app.storage.engine import Database, WorkspaceConnection
from app.storage.models import new_id
from app.storage.queue import enqueue

_COLUMNS = "id, state, collection, name, size_bytes, attempts, document_id, chunks, problem, created_at, updated_at"
_SELECT = f"SELECT {_COLUMNS}, sha256, title, metadata FROM job"  # noqa: S608 - a constant
_GET = f"{_SELECT} WHERE id = %s"
_PAGE = f"{_SELECT} WHERE %(state)s::text IS NULL OR state = %(state)s ORDER BY id DESC LIMIT %(limit)s"
_LAST_OF_NAME = f"{_SELECT} WHERE collection = %s AND name = %s ORDER BY id DESC LIMIT 1"
_INSERT = """
INSERT INTO job (id, workspace_id, collection, name, size_bytes, sha256, title, metadata)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
"""
_BEGIN = """
UPDATE job SET state = 'running', attempts = attempts + 1, updated_at = now()
WHERE id = %s AND state IN ('queued', 'running')
"""
_QUEUE = "UPDATE job SET state = 'queued', problem = %s, updated_at = now() WHERE id = %s AND state = 'running'"
_AGAIN = """
UPDATE job SET state = 'queued', attempts = 0, updated_at = now() WHERE id = %s AND state = 'failed'
RETURNING collection, name
"""
_FAIL = "UPDATE job SET state = 'failed', problem = %s, updated_at = now() WHERE id = %s"
_DONE = """
UPDATE job SET state = 'done', chunks = %(chunks)s, problem = NULL, updated_at = now(), document_id = (
    SELECT d.id FROM document d JOIN collection c ON c.id = d.collection_id
    WHERE c.name = job.collection AND d.source_uri = %(uri)s)
WHERE id = %(id)s
"""


class JobStore:
    """Reads and writes jobs, each with its place in the queue."""

    def __init__(self, database: Database, queue: App) -> None:
        self._database = database
        self._queue = queue

    async def get(self, workspace_id: UUID, job_id: UUID) -> Job:
        """Raises JobNotFound."""
        async with self._database.connection(workspace_id) as connection:
            return (await _one(connection, job_id))[0]

    async def page(self, workspace_id: UUID, *, state: JobState | None, limit: int) -> list[Job]:
        """The newest first."""
        async with self._database.connection(workspace_id) as connection:
            rows = await (await connection.execute(_PAGE, {"state": state, "limit": limit})).fetchall()
        return [_read(row)[0] for row in rows]

    async def add(self, workspace_id: UUID, job_id: UUID, upload: Upload) -> tuple[Job, bool]:
        """The upload's job, and whether it is new: the last file of its name may have been the very same.

        A new one is in the queue once this returns.
        """
        metadata = msgspec.json.encode(upload.metadata).decode()
        lock = _lock(workspace_id, upload.collection, upload.name)
        async with self._database.connection(workspace_id) as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (lock,))
            row = await (await connection.execute(_LAST_OF_NAME, (upload.collection, upload.name))).fetchone()
            if row is not None:
                last, before = _read(row)
                there = not last.ended or last.document_id is not None
                if there and before == upload:
                    return last, False
            values = (upload.collection, upload.name, upload.size_bytes, upload.sha256, upload.title, metadata)
            await connection.execute(_INSERT, (job_id, workspace_id, *values))
            await enqueue(connection, self._queue, workspace_id, job_id, lock=lock)
            return (await _one(connection, job_id))[0], True

    async def begin(self, workspace_id: UUID, job_id: UUID) -> tuple[Job, Upload] | None:
        """Count an attempt; None when the job has ended or is gone."""
        async with self._database.connection(workspace_id) as connection:
            if not (await connection.execute(_BEGIN, (job_id,))).rowcount:
                return None
            return await _one(connection, job_id)

    async def requeue(self, workspace_id: UUID, job_id: UUID, problem: str) -> None:
        """It waits for another attempt, because of `problem`."""
        async with self._database.connection(workspace_id) as connection:
            await connection.execute(_QUEUE, (problem, job_id))

    async def fail(self, workspace_id: UUID, job_id: UUID, problem: str) -> None:
        """It failed for good."""
        async with self._database.connection(workspace_id) as connection:
            await connection.execute(_FAIL, (problem, job_id))

    async def done(self, workspace_id: UUID, job_id: UUID, uri: str, chunks: int) -> None:
        """Its document is there."""
        async with self._database.connection(workspace_id) as connection:
            await connection.execute(_DONE, {"id": job_id, "uri": uri, "chunks": chunks})

    async def retry(self, workspace_id: UUID, job_id: UUID) -> Job:
        """Put a failed job back into the queue. Raises JobNotFound, JobNotFailed."""
        async with self._database.connection(workspace_id) as connection:
            await _one(connection, job_id)
            row = await (await connection.execute(_AGAIN, (job_id,))).fetchone()
            if row is None:
                raise JobNotFailed
            await enqueue(connection, self._queue, workspace_id, job_id, lock=_lock(workspace_id, *row))
            return (await _one(connection, job_id))[0]


def new_job_id() -> UUID:
    """An id for a job that is about to be added; its file is stored under that name."""
    return new_id()


def _lock(workspace_id: UUID, *what: str) -> str:
    return f"{workspace_id}:{sha256(chr(0).join(what).encode()).hexdigest()}"


async def _one(connection: WorkspaceConnection, job_id: UUID) -> tuple[Job, Upload]:
    row = await (await connection.execute(_GET, (job_id,))).fetchone()
    if row is None:
        raise JobNotFound
    return _read(row)


def _read(row: Sequence[Any]) -> tuple[Job, Upload]:
    id_, state, collection, name, size, *rest, sha, title, metadata = row
    job = Job(id_, JobState(state), collection, name, size, *rest)
    return job, Upload(collection, name, size, bytes(sha), title, metadata)
