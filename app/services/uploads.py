"""Uploads: files that come over the API, the jobs that make documents of them, and making them anew."""

import asyncio
import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO
from uuid import UUID

from app.domain.errors import InvalidInput, UploadNotStored
from app.domain.job import Job, JobState, ScheduledSync, Upload
from app.domain.principal import Principal
from app.storage.documents import DocumentStore
from app.storage.engine import Database
from app.storage.jobs import JobStore, new_job_id
from app.storage.queue import open_queue
from app.storage.scheduled_syncs import ScheduledSyncs
from app.storage.upload_files import UploadFiles

MAX_NAME_CHARS = 255
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Received:
    """A file as the API has it: an open temporary file, and what came with it.

    `again`: it is taken in even if the last file of its name was the very same.
    """

    file: IO[bytes]
    name: str
    collection: str
    title: str | None
    metadata: dict[str, object]
    again: bool = False


class Uploads:
    """Takes files in, and tells what becomes of them.

    Workers on other machines need the folder of the files too.
    """

    def __init__(self, jobs: JobStore, files: UploadFiles, documents: DocumentStore, scheduled: ScheduledSyncs) -> None:
        self._jobs = jobs
        self._scheduled = scheduled
        self._files = files
        self._documents = documents

    @classmethod
    def on(cls, database: Database, folder: Path) -> "Uploads":
        """Those of a database, with their files in a folder."""
        jobs, files = JobStore(database, open_queue(database.url)), UploadFiles(database, folder)
        return cls(jobs, files, DocumentStore(database), ScheduledSyncs(database))

    async def take(self, principal: Principal, received: Received) -> tuple[Job, bool]:
        """Store a file and queue it; False when the last file of its name was the very same, unless wanted `again`.

        Raises InvalidInput, UploadNotStored, DatabaseUnavailable; nothing is kept then.
        """
        name = Path(received.name.replace("\\", "/")).name.replace("\x00", "").strip()
        if not name or len(name) > MAX_NAME_CHARS:
            raise InvalidInput(f"file: it needs a file name of at most {MAX_NAME_CHARS} characters.")
        job_id = new_job_id()
        path = self._files.path_of(job_id)
        try:
            try:
                size, digest = await asyncio.to_thread(_store, received.file, path)
            except OSError as error:  # the disk is full, or the folder is not there or not writable
                raise UploadNotStored from error
            if not size:
                raise InvalidInput("file: it is empty.")
            upload = Upload(received.collection, name, size, digest, received.title, received.metadata)
            job, new = await self._jobs.add(principal.workspace_id, job_id, upload, again=received.again)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        if not new:
            path.unlink(missing_ok=True)
        return job, new

    async def reingest(self, principal: Principal, document_id: UUID) -> Job:
        """Queue the file that a document was made of once more; the job that waits or runs, if one of it does.

        Raises DocumentNotFound, NotUploaded, FileNotKept.
        """
        return await self._jobs.reingest(principal.workspace_id, document_id, self._files.has)

    async def delete(self, principal: Principal, document_id: UUID) -> None:
        """Delete a document with all its versions, and the file that it was made of. Raises DocumentNotFound."""
        jobs = await self._jobs.of_document(principal.workspace_id, document_id)
        await self._documents.delete(principal.workspace_id, document_id)
        await self._files.tidy(principal.workspace_id, jobs, keep=True)

    async def delete_collection(self, principal: Principal, name: str) -> int:
        """Delete a collection, its documents and the files that they were made of; returns how many documents.

        Uploads that wait or are being ingested fail. Raises CollectionNotFound.
        """
        await self._jobs.give_up(principal.workspace_id, name)
        deleted = await self._documents.delete_collection(principal.workspace_id, name)
        jobs = await self._jobs.of_collection(principal.workspace_id, name)
        await self._files.tidy(principal.workspace_id, jobs, keep=True)
        return deleted

    async def get(self, principal: Principal, job_id: UUID) -> Job:
        """Raises JobNotFound."""
        return await self._jobs.get(principal.workspace_id, job_id)

    async def page(self, principal: Principal, *, state: JobState | None, limit: int) -> list[Job]:
        """The newest first."""
        return await self._jobs.page(principal.workspace_id, state=state, limit=limit)

    async def failed_syncs(self, principal: Principal, *, state: JobState | None) -> list[ScheduledSync]:
        """Scheduled syncs that failed and of which none has succeeded since, the last first."""
        return await self._scheduled.all(principal.workspace_id, state=state)

    async def retry(self, principal: Principal, job_id: UUID) -> Job:
        """Queue a failed job again. Raises JobNotFound, JobNotFailed."""
        return await self._jobs.retry(principal.workspace_id, job_id)


def _store(file: IO[bytes], path: Path) -> tuple[int, bytes]:
    """Copy to `path`, whole or not at all; the size and the SHA-256."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest, size = sha256(), 0
    file.seek(0)
    with path.open("xb") as target:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
            target.write(block)
        target.flush()
        os.fsync(target.fileno())
    return size, digest.digest()
