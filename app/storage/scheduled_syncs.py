"""Scheduled syncs: those that failed, one of each source, until the source is in sync again."""

from uuid import UUID

from app.domain.job import JobState, ScheduledSync
from app.storage.engine import Database

_ALL = """
SELECT source, collection, state, attempts, problem, updated_at FROM scheduled_sync
WHERE %(state)s::text IS NULL OR state = %(state)s ORDER BY updated_at DESC, source
"""
_PUT = """
INSERT INTO scheduled_sync (workspace_id, source, collection, state, attempts, problem)
VALUES (%(workspace)s, %(source)s, %(collection)s, %(state)s, %(attempts)s, %(problem)s)
ON CONFLICT (workspace_id, source) DO UPDATE SET collection = excluded.collection, state = excluded.state,
    attempts = excluded.attempts, problem = excluded.problem, updated_at = now()
"""
_DELETE = "DELETE FROM scheduled_sync WHERE source = %s"
_DELETE_OLD = "DELETE FROM scheduled_sync WHERE updated_at < now() - make_interval(hours => %s)"


class ScheduledSyncs:
    """Notes, lists and forgets scheduled syncs that failed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self, workspace_id: UUID, *, state: JobState | None = None) -> list[ScheduledSync]:
        """The last that failed first."""
        async with self._database.connection(workspace_id) as connection:
            rows = await (await connection.execute(_ALL, {"state": state})).fetchall()
        return [ScheduledSync(source, collection, JobState(state), *rest) for source, collection, state, *rest in rows]

    async def failed(
        self, workspace_id: UUID, source: str, collection: str, *, attempts: int, problem: str, waits: bool
    ) -> None:
        """Note that the sync of a source failed, and whether it waits for another attempt."""
        state = JobState.QUEUED if waits else JobState.FAILED
        values = {"source": source, "collection": collection, "attempts": attempts, "problem": problem}
        async with self._database.connection(workspace_id) as connection:
            await connection.execute(_PUT, {"workspace": workspace_id, "state": state, **values})

    async def synced(self, workspace_id: UUID, source: str) -> None:
        """Forget that it failed."""
        async with self._database.connection(workspace_id) as connection:
            await connection.execute(_DELETE, (source,))

    async def forget(self, workspace_id: UUID, *, after_h: int) -> None:
        """Forget those that failed so long ago and have not been tried since."""
        async with self._database.connection(workspace_id) as connection:
            await connection.execute(_DELETE_OLD, (after_h,))
