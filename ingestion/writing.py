"""Writing: embedded documents into the store, in transactions side by side where their order decides nothing."""

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

from app.domain.index import IndexGeneration
from app.storage.documents import DocumentStore
from app.storage.first_load import FirstLoad
from app.storage.versions import NewVersion

WRITERS = 2  # transactions at a time
WRITTEN_CHUNKS = 128  # documents that wait to be written share a transaction until they have so many chunks


class Writing:
    """Writes documents of one collection in tasks of a group, WRITERS transactions at a time.

    `await room()`, then `await begin(...)`. Of documents with one text the first one that was begun is the original,
    as if they were written one after another. What fails ends the group.
    """

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        store: DocumentStore,
        load: FirstLoad,
        workspace_id: UUID,
        collection_id: UUID,
        generation: IndexGeneration,
    ) -> None:
        self._tasks = tasks
        self._store = store
        self._load = load
        self._to = (workspace_id, collection_id, generation)
        self._writers = asyncio.Semaphore(WRITERS)
        self._under_way: dict[asyncio.Task[None], set[UUID | None]] = {}

    async def room(self) -> None:
        """Wait until another transaction may begin."""
        await self._writers.acquire()

    async def begin(
        self, versions: Sequence[NewVersion], *, alone: bool, then: Callable[[], None] = lambda: None
    ) -> None:
        """Begin to write them; `then` is called once they are stored.

        `alone`: after all that was begun before, and before all that is begun later.
        """
        texts = {new.text_key for new in versions} - {None}
        if alone or any(texts & others for others in self._under_way.values()):
            await self._all_done()
        task = self._tasks.create_task(self._write(versions, then))
        self._under_way[task] = texts
        task.add_done_callback(self._under_way.pop)
        if alone:
            await self._all_done()

    async def _all_done(self) -> None:
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _write(self, versions: Sequence[NewVersion], then: Callable[[], None]) -> None:
        await self._store.write_all(*self._to, versions)
        self._writers.release()
        await self._load.wrote(sum(len(new.chunks) for new in versions))
        then()
