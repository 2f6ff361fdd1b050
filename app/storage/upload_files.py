"""Upload files: the bytes of uploads, in a folder that the API and all workers see, each under its job's id."""

import asyncio
from collections.abc import Collection
from pathlib import Path
from uuid import UUID

from app.domain.document import MEMBER
from app.domain.job import UPLOADED
from app.storage.engine import Database
from app.storage.maintenance import workspace_ids

# Of jobs that were done once: those that another one has followed, and those whose documents are gone. An archive has
# no document of its own, so that its job names none; what was in it does. (NOT IN: they are gone through once, not for
# each job, whatever the planner believes.)
_NEEDLESS = """
SELECT j.id FROM job j
WHERE j.id = ANY(%(ids)s) AND j.chunks IS NOT NULL AND j.state IN ('done', 'failed') AND (
    (j.state = 'done' AND NOT %(keep)s)
    OR EXISTS (SELECT FROM job n WHERE n.collection = j.collection AND n.name = j.name AND n.state = 'done'
        AND (n.updated_at, n.id) > (j.updated_at, j.id))
    OR (j.document_id IS NULL AND (j.collection, j.name) NOT IN (
        SELECT c.name, split_part(substr(d.source_uri, length(%(uploaded)s) + 1), %(member)s, 1)
        FROM document d JOIN collection c ON c.id = d.collection_id WHERE starts_with(d.source_uri, %(uploaded)s))))
"""


class UploadFiles:
    """The files of uploads: which are there, and which nobody needs any more.

    A file stays while its job waits, runs or has failed. Once the job is done it stays until another upload of its name
    is done too, or its documents are deleted; unless it is not to be kept.
    """

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder

    def path_of(self, job_id: UUID) -> Path:
        """Where a job's file lies."""
        return self._folder / str(job_id)

    def has(self, job_id: UUID) -> bool:
        """Whether a job's file is there."""
        return self.path_of(job_id).exists()

    async def tidy(self, workspace_id: UUID, job_ids: Collection[UUID], *, keep: bool) -> None:
        """Remove those of these jobs' files that nobody needs; `keep`: the last file of a document is needed."""
        if not job_ids:
            return
        parameters = {"ids": list(job_ids), "keep": keep, "uploaded": UPLOADED, "member": MEMBER}
        async with self._database.connection(workspace_id) as connection:
            cursor = await connection.execute(_NEEDLESS, parameters)
            needless = [row[0] for row in await cursor.fetchall()]
        await asyncio.to_thread(self._remove, needless)

    async def tidy_all(self, *, keep: bool) -> None:
        """Remove every file that nobody needs. One of a job that is not known stays: it may just be coming in."""
        there = await asyncio.to_thread(self._there)
        for workspace_id in await workspace_ids(self._database) if there else ():
            await self.tidy(workspace_id, there, keep=keep)

    def _there(self) -> list[UUID]:
        """The jobs whose files are in the folder."""
        found = list[UUID]()
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            try:
                found.append(UUID(path.name))
            except ValueError:  # not ours
                continue
        return found

    def _remove(self, job_ids: Collection[UUID]) -> None:
        for job_id in job_ids:
            self.path_of(job_id).unlink(missing_ok=True)
