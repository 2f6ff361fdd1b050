"""Pipeline: items of a source in, documents with chunks and vectors out: load, chunk, embed, write."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from time import perf_counter

import numpy as np

from app.domain.document import Chunk
from app.domain.errors import UnreadableFile
from app.domain.ports import Vectors
from app.storage.versions import NewVersion
from ingestion.changes import Change, Changes
from ingestion.opening import Opened
from ingestion.parsing import Cutting, Parsed
from ingestion.situating import Arriving, Situating
from ingestion.sources.source import Item, Vanished
from ingestion.writing import WRITERS, WRITTEN_CHUNKS, Writing

QUEUE = 16  # files parsed ahead of the embedder
READ_AHEAD = 64  # documents of one file parsed ahead of it
BATCH_CHUNKS = 64  # documents are gathered until they have this many chunks, then embedded together


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be ingested, and why."""

    uri: str
    reason: str


@dataclass(slots=True)
class Report:
    """What an ingestion did: `ingested` documents were added, changed or moved, `embedded` of their chunks embedded.

    The other chunks stood in the collection with the same words and headings, and have their vectors. The language
    model was asked for `contexts`; `empty_contexts` of its replies had no words and stand for none. While it runs,
    `read` of the files were gone through and cut into `cut` chunks; `ready` of these have vectors, `chunks` are stored;
    then the search indexes may be built (`indexing`).
    """

    files: int = 0
    read: int = 0
    cut: int = 0
    ready: int = 0
    ingested: int = 0
    added: int = 0
    changed: int = 0
    moved: int = 0
    unchanged: int = 0
    chunks: int = 0
    embedded: int = 0
    contexts: int = 0
    empty_contexts: int = 0
    indexing: bool = False
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)


Progress = Callable[[Report], None]


@dataclass(frozen=True, slots=True)
class _Read:
    """A document on its way."""

    change: Change
    parsed: Parsed


_Batch = Sequence[_Read]
_File = asyncio.Queue[_Read | None]  # the documents of a file as they are parsed, None after the last


@dataclass(frozen=True, slots=True)
class _Embedded:
    """A batch, its chunks with their contexts if they are to have any, and the vectors of all chunks."""

    batch: _Batch
    vectors: Vectors


def batches_ahead(embedders: int) -> int:
    """How many batches are embedded, or being embedded, and not written yet, at most.

    Where the embedder is what takes the time, it is two for each; where the database is, it has what fills its writers.
    """
    return 2 * embedders + WRITERS * WRITTEN_CHUNKS // BATCH_CHUNKS


async def ingest(
    items: Sequence[Item], changes: Changes, run: Opened, progress: Progress = lambda _report: None
) -> Report:
    """Bring the items that changed into the collection.

    One that cannot be read is noted in the report and stops nothing. Documents are parsed, embedded and written at the
    same time, so what was written stays when DatabaseUnavailable or ProviderError (of the embedder, or of the model
    that writes contexts) ends the rest, and a second run goes on; of what was embedded at most `batches_ahead` batches
    are lost, of the contexts none. `progress` is called with the report as it stands, whenever a stage has got on.
    """
    report, started = Report(files=len(items)), perf_counter()
    async with run.load as load:
        await load.begin(len(items))
        try:
            await _Pipeline(changes, run, report, progress).run(items)
        except ExceptionGroup as group:  # the first fault ended the other tasks; it is the one to tell
            raise group.exceptions[0] from group
        report.indexing = True
        progress(report)
        await load.finish()
        report.indexing = False
    report.seconds = perf_counter() - started
    progress(report)
    return report


class _Pipeline:
    """Three stages side by side: batches are written while others are embedded and further files are parsed.

    Documents keep their order, so that the same files give the same store wherever they are parsed and embedded.
    """

    def __init__(self, changes: Changes, run: Opened, report: Report, progress: Progress) -> None:
        self._changes = changes
        self._opened = run
        self._to = run.destination
        self._cutting = Cutting(self._to.chunk_tokens, self._to.text_search_config)
        self._report = report
        self._progress = progress
        self._looking = asyncio.Lock()
        self._parsers = asyncio.Semaphore(run.place.parsers)
        self._embedders = asyncio.Semaphore(run.place.embedders)
        self._unembedded = asyncio.Semaphore(2 * run.place.embedders)  # batches, and so below
        self._unwritten = asyncio.Semaphore(batches_ahead(run.place.embedders))
        self._parsed = asyncio.Queue[_File | None](QUEUE + run.place.parsers)
        self._embedded = asyncio.Queue[asyncio.Task[_Embedded] | None]()

    async def run(self, items: Sequence[Item]) -> None:
        """Bring all of them in."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._parse_all(items, tasks))
            tasks.create_task(self._embed_all(tasks))
            tasks.create_task(self._write_all(tasks))

    async def _parse_all(self, items: Sequence[Item], tasks: asyncio.TaskGroup) -> None:
        for item in items:
            await self._parsers.acquire()
            change = await self._look(item)
            if change is None:
                self._done_reading()
            else:
                file = _File(READ_AHEAD)
                tasks.create_task(self._parse(change, file))
                await self._parsed.put(file)
        await self._parsed.put(None)

    async def _look(self, item: Item) -> Change | None:
        """None when it has not changed or cannot be read, which is noted."""
        try:
            async with self._looking:
                look = partial(self._changes.look, item, max_bytes=self._to.max_file_bytes)
                change = await asyncio.to_thread(look)
        except UnreadableFile as error:
            if not (isinstance(error, Vanished) and self._changes.lost(item.uri)):
                self._report.failures.append(Failure(item.uri, error.message))
            return None
        self._report.unchanged += change is None
        return change

    async def _parse(self, change: Change, file: _File) -> None:
        await self._read(change, file)
        self._done_reading()
        await file.put(None)

    async def _read(self, change: Change, file: _File) -> None:
        """Put the document of a file, and those of the files in it; what cannot be read is noted."""
        try:
            contents = await self._opened.place.parse(change.content, self._cutting)
            inner = self._changes.inside(change, contents)
        except UnreadableFile as error:
            if not self._changes.without_text(change, error):
                self._report.failures.append(Failure(change.uri, error.message))
            return
        if contents.parsed is not None:
            self._report.cut += len(contents.parsed.chunks)
            await file.put(_Read(replace(change, content=replace(change.content, data=b"")), contents.parsed))
        for item in inner:
            if (changed := await self._look(item)) is not None:
                await self._read(changed, file)
                self._progress(self._report)

    def _done_reading(self) -> None:
        self._parsers.release()
        self._report.read += 1
        self._progress(self._report)

    async def _embed_all(self, tasks: asyncio.TaskGroup) -> None:
        async for batch in self._gathered():
            await self._unwritten.acquire()
            await self._unembedded.acquire()
            self._embedded.put_nowait(tasks.create_task(self._embed(batch)))
        self._embedded.put_nowait(None)

    async def _gathered(self) -> AsyncIterator[list[_Read]]:
        """Documents in batches of BATCH_CHUNKS chunks at most, or of one document that has more.

        What is there goes out when there is room for a batch and the next document is not parsed yet.
        """
        batch, size = list[_Read](), 0
        while (file := await self._parsed.get()) is not None:
            while True:
                if batch and file.empty() and self._has_room():
                    yield batch
                    batch, size = [], 0
                if (read := await file.get()) is None:
                    break
                if batch and size + len(read.parsed.chunks) > BATCH_CHUNKS:
                    yield batch
                    batch, size = [], 0
                batch.append(read)
                size += len(read.parsed.chunks)
            if batch and self._parsed.empty() and self._has_room():
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _has_room(self) -> bool:
        """Whether a batch would be embedded at once."""
        return not (self._unembedded.locked() or self._unwritten.locked())

    async def _embed(self, batch: _Batch) -> _Embedded:
        if self._opened.situating is not None:
            batch = await self._situate(batch, self._opened.situating)
        async with self._embedders:
            vectors = await self._opened.embed(_chunks(batch))
        self._unembedded.release()
        self._report.ready += len(vectors)
        self._report.embedded = self._opened.embed.embedded
        self._progress(self._report)
        return _Embedded(batch, vectors)

    async def _situate(self, batch: _Batch, situating: Situating) -> _Batch:
        """The batch, its chunks with contexts."""

        def progress() -> None:
            self._report.contexts, self._report.empty_contexts = situating.contexts.written, situating.contexts.empty
            self._progress(self._report)

        situated = await situating.chunks([Arriving.of(read.change, read.parsed) for read in batch], progress)
        return [
            replace(read, parsed=replace(read.parsed, chunks=chunks))
            for read, chunks in zip(batch, situated, strict=True)
        ]

    async def _write_all(self, tasks: asyncio.TaskGroup) -> None:
        opened, to = self._opened, self._to
        writing = Writing(tasks, opened.store, opened.load, to.principal.workspace_id, to.collection_id, to.generation)
        ready = self._ready()
        await writing.room()
        while (embedded := await anext(ready, None)) is not None:
            batch = [read for one in embedded for read in one.batch]
            vectors = np.concatenate([one.vectors for one in embedded])
            await writing.begin(
                self._versions(batch, vectors),
                alone=any(read.change.kind != "added" for read in batch),
                then=partial(self._written, batch, len(embedded)),
            )
            await writing.room()

    async def _ready(self) -> AsyncIterator[list[_Embedded]]:
        """Embedded batches in their order; those that came while others were written go together."""
        together, size = list[_Embedded](), 0
        while (embedding := await self._embedded.get()) is not None:
            if together and (not embedding.done() or size + len(embedding.result().vectors) > WRITTEN_CHUNKS):
                yield together
                together, size = [], 0
            together.append(await embedding)
            size += len(together[-1].vectors)
            if self._embedded.empty():
                yield together
                together, size = [], 0
        if together:
            yield together

    def _versions(self, batch: _Batch, vectors: Vectors) -> list[NewVersion]:
        versions, at = list[NewVersion](), 0
        for read in batch:
            change, parsed = read.change, read.parsed
            own, at = vectors[at : at + len(parsed.chunks)], at + len(parsed.chunks)
            versions.append(
                NewVersion(
                    uri=change.uri,
                    content_hash=change.content_hash,
                    document=parsed.document,
                    chunks=parsed.chunks,
                    vectors=own,
                    text_search_config=parsed.text_search_config,
                    source=self._to.source,
                    stamp=change.stamp,
                    moved_from=change.moved_from,
                    text_key=parsed.text_key,
                )
            )
        return versions

    def _written(self, batch: _Batch, batches: int) -> None:
        self._opened.embed.stored(_chunks(batch))
        for _ in range(batches):
            self._unwritten.release()
        self._count(batch)
        self._progress(self._report)

    def _count(self, batch: _Batch) -> None:
        report, kinds = self._report, [read.change.kind for read in batch]
        report.added += kinds.count("added")
        report.changed += kinds.count("changed")
        report.moved += kinds.count("moved")
        report.ingested += len(batch)
        report.chunks += len(_chunks(batch))


def _chunks(batch: _Batch) -> list[Chunk]:
    return [chunk for read in batch for chunk in read.parsed.chunks]
