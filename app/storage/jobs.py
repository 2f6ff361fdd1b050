"""Jobs: files that were uploaded, from the moment they are here to the document that they become."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec
from procrastinate import App

from app.domain.errors import DocumentNotFound, FileNotKept, JobNotFailed, JobNotFound, NotUploaded
from app.domain.job import DELETED, Job, JobState, Upload, uploaded_name
from app.storage.engine import Database, WorkspaceConnection
from app.storage.models import new_id
from app.storage.queue import enqueue

_COLUMNS = "id, state, collection, name, size_bytes, attempts, document_id, chunks, problem, created_at, updated_at"
_SELECT = f"SELECT {_COLUMNS}, sha256, title, metadata FROM job"  # noqa: S608 - a constant
_GET = f"{_SELECT} WHERE id = %s"
_PAGE = f"{_SELECT} WHERE %(state)s::text IS NULL OR state = %(state)s ORDER BY id DESC LIMIT %(limit)s"
_LAST_OF_NAME = f"{_SELECT} WHERE collection = %s AND name = %s ORDER BY id DESC LIMIT 1"
_IDS_OF_COLLECTION = "SELECT id FROM job WHERE collection = %s"
_IDS_OF_NAME = "SELECT id FROM job WHERE collection = %s AND name = %s"
# One that waits or runs; else the last that was ever done (it keeps its number of chunks when it is done anew).
_MAKER = f"""
{_SELECT} WHERE collection = %s AND name = %s
ORDER BY state IN ('queued', 'running') DESC, chunks IS NOT NULL DESC, updated_at DESC, id DESC LIMIT 1
"""
_DOCUMENT = """
SELECT c.name, d.source_uri, d.source FROM document d JOIN collection c ON c.id = d.collection_id WHERE d.id = %s
"""
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
_INSERT = """
INSERT INTO job (id, workspace_id, collection, name, size_bytes, sha256, title, metadata)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
"""
_BEGIN = """
UPDATE job SET state = 'running', attempts = attempts + 1, updated_at = now()
WHERE id = %s AND state IN ('queued', 'running')
"""
_MAKE_COLLECTION = """
INSERT INTO collection (id, workspace_id, name) SELECT %s, workspace_id, collection FROM job WHERE id = %s
ON CONFLICT DO NOTHING
"""
_QUEUE = "UPDATE job SET state = 'queued', problem = %s, updated_at = now() WHERE id = %s AND state = 'running'"
_AGAIN = """
UPDATE job SET state = 'queued', attempts = 0, updated_at = now() WHERE id = %s AND state = ANY(%s)
RETURNING collection, name
"""
_FAIL = "UPDATE job SET state = 'failed', problem = %s, updated_at = now() WHERE id = %s AND state = 'running'"
# Without its number of chunks it is as if it had never been done, so that another try makes its document.
_GIVE_UP = """
UPDATE job SET state = 'failed', problem = %(problem)s, chunks = NULL, updated_at = now()
WHERE collection = %(collection)s AND state IN ('queued', 'running')
    AND EXISTS (SELECT FROM collection WHERE name = %(collection)s)
"""
_DONE = """
UPDATE job SET state = 'done', chunks = %(chunks)s, problem = NULL, updated_at = now(), document_id = (
    SELECT d.id FROM document d JOIN collection c ON c.id = d.collection_id
    WHERE c.name = job.collection AND d.source_uri = %(uri)s)
WHERE id = %(id)s AND state = 'running'
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

    async def of_collection(self, workspace_id: UUID, collection: str) -> list[UUID]:
        """The ids of all jobs of a collection."""
        async with self._database.connection(workspace_id) as connection:
            return [row[0] for row in await (await connection.execute(_IDS_OF_COLLECTION, (collection,))).fetchall()]

    async def give_up(self, workspace_id: UUID, collection: str) -> None:
        """What waits or runs in a collection that there is, and is about to be deleted, fails for good."""
        async with self._database.connection(workspace_id) as connection:
            await connection.execute(_GIVE_UP, {"problem": DELETED, "collection": collection})

    async def of_upload(self, workspace_id: UUID, collection: str, name: str) -> list[UUID]:
        """The ids of all jobs of one name in a collection."""
        async with self._database.connection(workspace_id) as connection:
            return [row[0] for row in await (await connection.execute(_IDS_OF_NAME, (collection, name))).fetchall()]

    async def of_document(self, workspace_id: UUID, document_id: UUID) -> list[UUID]:
        """The ids of all jobs of the file that a document was made of or found in. Raises DocumentNotFound."""
        async with self._database.connection(workspace_id) as connection:
            collection, uri, _source = await _document(connection, document_id)
        name = uploaded_name(uri)
        return [] if name is None else await self.of_upload(workspace_id, collection, name)

    async def add(self, workspace_id: UUID, job_id: UUID, upload: Upload, *, again: bool = False) -> tuple[Job, bool]:
        """The upload's job, and whether it is new: the last file of its name may have been the very same.

        With `again` it is new in any case. A new one is in the queue once this returns.
        """
        metadata = msgspec.json.encode(upload.metadata).decode()
        lock = _lock(workspace_id, upload.collection, upload.name)
        async with self._database.connection(workspace_id) as connection:
            await connection.execute(_LOCK, (lock,))
            row = await (await connection.execute(_LAST_OF_NAME, (upload.collection, upload.name))).fetchone()
            if row is not None and not again:
                last, before = _read(row)
                there = not last.ended or last.document_id is not None
                if there and before == upload:
                    return last, False
            values = (upload.collection, upload.name, upload.size_bytes, upload.sha256, upload.title, metadata)
            await connection.execute(_INSERT, (job_id, workspace_id, *values))
            await enqueue(connection, self._queue, workspace_id, job_id, lock=lock)
            return (await _one(connection, job_id))[0], True

    async def begin(self, workspace_id: UUID, job_id: UUID) -> tuple[Job, Upload] | None:
        """Count an attempt, and make the job's collection when it is missing; None when the job has ended or is gone.

        The collection is made nowhere else, so that one that is deleted while the job runs stays deleted.
        """
        async with self._database.connection(workspace_id) as connection:
            if not (await connection.execute(_BEGIN, (job_id,))).rowcount:
                return None
            await connection.execute(_MAKE_COLLECTION, (new_id(), job_id))
            return await _one(connection, job_id)

    async def requeue(self, workspace_id: UUID, job_id: UUID, problem: str) -> None:
        """It waits for another attempt, because of `problem`, unless it has ended meanwhile."""
        async with self._database.connection(workspace_id) as connection:
            await connection.execute(_QUEUE, (problem, job_id))

    async def fail(self, workspace_id: UUID, job_id: UUID, problem: str) -> None:
        """It failed for good, unless it has ended meanwhile."""
        async with self._database.connection(workspace_id) as connection:
            await connection.execute(_FAIL, (problem, job_id))

    async def done(self, workspace_id: UUID, job_id: UUID, uri: str, chunks: int) -> None:
        """Its document is there, unless it has ended meanwhile."""
        async with self._database.connection(workspace_id) as connection:
            await connection.execute(_DONE, {"id": job_id, "uri": uri, "chunks": chunks})

    async def retry(self, workspace_id: UUID, job_id: UUID) -> Job:
        """Put a failed job back into the queue. Raises JobNotFound, JobNotFailed."""
        async with self._database.connection(workspace_id) as connection:
            await _one(connection, job_id)
            if not await self._requeue(connection, workspace_id, job_id, JobState.FAILED):
                raise JobNotFailed
            return (await _one(connection, job_id))[0]

    async def reingest(self, workspace_id: UUID, document_id: UUID, kept: Callable[[UUID], bool]) -> Job:
        """Put the job that made a document back into the queue, if its file is `kept`.

        When a job of the same file waits or runs, that one is returned and nothing is done. Raises DocumentNotFound,
        NotUploaded, FileNotKept.
        """
        async with self._database.connection(workspace_id) as connection:
            collection, uri, source = await _document(connection, document_id)
            name = uploaded_name(uri)
            if name is None:
                raise _not_uploaded(source)
            await connection.execute(_LOCK, (_lock(workspace_id, collection, name),))
            row = await (await connection.execute(_MAKER, (collection, name))).fetchone()
            job = None if row is None else _read(row)[0]
            if job is not None and not job.ended:
                return job
            if job is None or not kept(job.id):
                raise FileNotKept
            await self._requeue(connection, workspace_id, job.id, JobState.DONE, JobState.FAILED)
            return (await _one(connection, job.id))[0]

    async def _requeue(
        self, connection: WorkspaceConnection, workspace_id: UUID, job_id: UUID, *states: JobState
    ) -> bool:
        """Queue a job again as if it were new; False when it is in none of the `states`."""
        row = await (await connection.execute(_AGAIN, (job_id, list(states)))).fetchone()
        if row is not None:
            await enqueue(connection, self._queue, workspace_id, job_id, lock=_lock(workspace_id, *row))
        return row is not None


def new_job_id() -> UUID:
    """An id for a job that is about to be added; its file is stored under that name."""
    return new_id()


def _lock(workspace_id: UUID, *what: str) -> str:
    return f"{workspace_id}:{sha256(chr(0).join(what).encode()).hexdigest()}"


def _not_uploaded(source: str | None) -> NotUploaded:
    if source is None:
        return NotUploaded()
    return NotUploaded(
        f"This document comes from the source {source!r}; `footnote sync {source} --again` reads all of it once more."
    )


async def _document(connection: WorkspaceConnection, document_id: UUID) -> tuple[str, str, str | None]:
    """Its collection, its URI and its source. Raises DocumentNotFound."""
    row = await (await connection.execute(_DOCUMENT, (document_id,))).fetchone()
    if row is None:
        raise DocumentNotFound
    return row[0], row[1], row[2]


async def _one(connection: WorkspaceConnection, job_id: UUID) -> tuple[Job, Upload]:
    row = await (await connection.execute(_GET, (job_id,))).fetchone()
    if row is None:
        raise JobNotFound
    return _read(row)


def _read(row: Sequence[Any]) -> tuple[Job, Upload]:
    id_, state, collection, name, size, *rest, sha, title, metadata = row
    job = Job(id_, JobState(state), collection, name, size, *rest)
    return job, Upload(collection, name, size, bytes(sha), title, metadata)
