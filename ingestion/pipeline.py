"""Pipeline: items of a source in, documents with chunks and vectors out: load, chunk, embed, write."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import perf_counter

from app.domain.document import Chunk, ParsedDocument
from app.domain.errors import UnreadableFile
from app.domain.ports import Vectors
from app.providers.tokenizer import count_tokens
from app.storage.versions import NewVersion
from ingestion.changes import Change, Changes
from ingestion.chunking.structure import chunk
from ingestion.duplicates import text_key
from ingestion.language import config_of
from ingestion.opening import Destination, Opened
from ingestion.sandbox import Sandbox
from ingestion.sources.source import Item, Vanished

QUEUE = 16  # documents parsed ahead of the embedder
BATCH_CHUNKS = 64  # documents are gathered until they have this many chunks, then embedded and written together


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be ingested, and why."""

    uri: str
    reason: str


@dataclass(slots=True)
class Report:
    """What an ingestion did: `ingested` documents were added, changed or moved, `embedded` of their chunks embedded.

    The other chunks stood in the collection with the same words and headings, and have their vectors. While it runs,
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
    indexing: bool = False
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)


Progress = Callable[[Report], None]


@dataclass(frozen=True, slots=True)
class _Parsed:
    change: Change
    document: ParsedDocument
    chunks: Sequence[Chunk]


async def ingest(
    items: Sequence[Item], changes: Changes, run: Opened, progress: Progress = lambda _report: None
) -> Report:
    """Bring the items that changed into the collection.

    One that cannot be read is noted in the report and stops nothing. Documents are parsed, embedded and written at the
    same time, a batch in one transaction, so what was written stays when DatabaseUnavailable or ProviderError (of the
    embedder) ends the rest, and a second run goes on; of what was embedded at most two batches are lost.
    `progress` is called with the report as it stands, whenever a stage has got on.
    """
    report, started = Report(files=len(items)), perf_counter()
    async with run.load as load:
        await load.begin(len(items))
        try:
            with Sandbox() as sandbox:
                await _Pipeline(changes, run, sandbox, report, progress).run(items)
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
    """Three stages side by side: one batch is written while the next is embedded and further files are parsed."""

    def __init__(self, changes: Changes, run: Opened, sandbox: Sandbox, report: Report, progress: Progress) -> None:
        self._changes = changes
        self._opened = run
        self._to = run.destination
        self._sandbox = sandbox
        self._report = report
        self._progress = progress
        self._parsed = asyncio.Queue[_Parsed | None](QUEUE)

    async def run(self, items: Sequence[Item]) -> None:
        """Bring all of them in."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._parse_all(items))
            writing: asyncio.Task[None] | None = None
            async for batch in _gathered(self._parsed):
                vectors = await self._opened.embed([one for parsed in batch for one in parsed.chunks])
                self._report.ready += len(vectors)
                self._report.embedded = self._opened.embed.embedded
                self._progress(self._report)
                if writing is not None:
                    await writing
                writing = tasks.create_task(self._write(batch, vectors))

    async def _parse_all(self, items: Sequence[Item]) -> None:
        report = self._report
        for item in items:
            try:
                parsed = await asyncio.to_thread(partial(_parse, item, self._changes, self._to, self._sandbox))
            except UnreadableFile as error:
                if not (isinstance(error, Vanished) and self._changes.lost(item.uri)):
                    report.failures.append(Failure(item.uri, error.message))
            else:
                if parsed is None:
                    report.unchanged += 1
                else:
                    report.cut += len(parsed.chunks)
                    await self._parsed.put(parsed)
            report.read += 1
            self._progress(report)
        await self._parsed.put(None)

    async def _write(self, batch: Sequence[_Parsed], vectors: Vectors) -> None:
        to, versions, at = self._to, list[NewVersion](), 0
        for parsed in batch:
            own, at = vectors[at : at + len(parsed.chunks)], at + len(parsed.chunks)
            change = parsed.change
            versions.append(
                NewVersion(
                    uri=change.uri,
                    content_hash=change.content_hash,
                    document=parsed.document,
                    chunks=parsed.chunks,
                    vectors=own,
                    text_search_config=config_of(parsed.document, to.text_search_config),
                    source=to.source,
                    stamp=change.stamp,
                    moved_from=change.moved_from,
                    text_key=text_key(parsed.document),
                )
            )
        await self._opened.store.write_all(to.principal.workspace_id, to.collection_id, to.generation, versions)
        await self._opened.load.wrote(len(vectors))
        self._count(batch)
        self._progress(self._report)

    def _count(self, batch: Sequence[_Parsed]) -> None:
        report, kinds = self._report, [parsed.change.kind for parsed in batch]
        report.added += kinds.count("added")
        report.changed += kinds.count("changed")
        report.moved += kinds.count("moved")
        report.ingested += len(batch)
        report.chunks += sum(len(parsed.chunks) for parsed in batch)


def _parse(item: Item, changes: Changes, to: Destination, sandbox: Sandbox) -> _Parsed | None:
    """The parsed document, None when it is unchanged. Raises UnreadableFile."""
    change = changes.look(item, max_bytes=to.max_file_bytes)
    if change is None:
        return None
    content = change.content
    document = sandbox.load(Path(content.name), content.data)
    document = replace(
        document, title=content.title or document.title, metadata={**document.metadata, **content.metadata}
    )
    return _Parsed(change, document, chunk(document, max_tokens=to.chunk_tokens, count_tokens=count_tokens))


async def _gathered(queue: asyncio.Queue[_Parsed | None]) -> AsyncIterator[list[_Parsed]]:
    """Documents in batches of BATCH_CHUNKS chunks at most, or of one document that has more.

    What is there goes out when nothing more waits.
    """
    batch, size = list[_Parsed](), 0
    while (parsed := await queue.get()) is not None:
        if batch and size + len(parsed.chunks) > BATCH_CHUNKS:
            yield batch
            batch, size = [], 0
        batch.append(parsed)
        size += len(parsed.chunks)
        if queue.empty():
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
