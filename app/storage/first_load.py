"""First load: search indexes are built when the first documents are in, instead of row by row as they come in."""

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any

from psycopg import AsyncConnection

from app.domain.errors import ReindexRefused
from app.domain.index import IndexGeneration
from app.domain.principal import DEFAULT_WORKSPACE_ID
from app.storage.engine import Database
from app.storage.indexes import build_indexes, drop_indexes, lacks_indexes, vectors_up_to
from app.storage.lexemes import add_up
from app.storage.maintenance import analyze, maintenance

MANY_DOCUMENTS = 100
MANY_CHUNKS = 2_000  # so many are searched through in milliseconds without an index


class FirstLoad:
    """An ingestion into a generation that has few vectors; a context manager.

    Once it is seen to be large (a hundred documents for an empty generation, or as many chunks as above), the search
    indexes are dropped, and `finish` builds them. Until then questions are answered by measuring every chunk. When the
    ingestion does not get that far, the end of a later one builds what is missing.
    """

    def __init__(self, database: Database, generation: IndexGeneration) -> None:
        self._database = database
        self._generation = generation
        self._stack = AsyncExitStack()
        self._alone: AsyncConnection[Any] | None = None
        self._may_drop = False
        self._written = 0

    async def __aenter__(self) -> "FirstLoad":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def begin(self, documents: int) -> None:
        """Look at what there is, before `documents` are gone through."""
        async with self._database.connection(DEFAULT_WORKSPACE_ID) as connection:
            there = await vectors_up_to(connection, self._generation, MANY_CHUNKS)
        self._may_drop = there < MANY_CHUNKS
        if not there and documents >= MANY_DOCUMENTS:
            await self._drop()

    async def wrote(self, chunks: int) -> None:
        """Note that so many chunks were written."""
        self._written += chunks
        if self._written >= MANY_CHUNKS:
            await self._drop()

    async def finish(self) -> None:
        """Add up the counts of words, and build the indexes that are missing, without holding up readers or writers."""
        async with self._database.connection(DEFAULT_WORKSPACE_ID) as connection:
            await add_up(connection, self._generation.id)
            complete = not await lacks_indexes(connection, self._generation)
        if complete or not await self._take():
            return
        assert self._alone is not None  # noqa: S101 - taken
        await build_indexes(self._alone, self._generation)
        await analyze(self._alone)

    async def _drop(self) -> None:
        may, self._may_drop = self._may_drop, False  # at first: `wrote` may be called while this waits
        if may and await self._take():
            assert self._alone is not None  # noqa: S101 - taken
            await drop_indexes(self._alone, self._generation)

    async def _take(self) -> bool:
        """Be the one that may; False when another process is, which then builds the indexes."""
        if self._alone is None:
            try:
                self._alone = await self._stack.enter_async_context(maintenance(self._database, wait=False))
            except ReindexRefused:
                return False
        return True
