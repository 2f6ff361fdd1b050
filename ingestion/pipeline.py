"""Pipeline: items of a source in, documents with chunks and vectors out: load, chunk, embed, write."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from uuid import UUID

from app.domain.document import Chunk, ParsedDocument
from app.domain.errors import UnreadableFile
from app.domain.index import IndexGeneration
from app.domain.principal import Principal
from app.providers.tokenizer import count_tokens
from app.storage.documents import DocumentStore, NewVersion
from ingestion.changes import Change, Changes
from ingestion.chunking.structure import chunk
from ingestion.duplicates import text_key
from ingestion.embed import Embedding
from ingestion.language import config_of
from ingestion.sandbox import Sandbox
from ingestion.sources.source import Item, Vanished

QUEUE = 16  # documents parsed ahead of the embedder
EMBED_CHUNKS = 128  # documents are gathered until they have this many chunks, then embedded together


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be ingested, and why."""

    uri: str
    reason: str


@dataclass(slots=True)
class Report:
    """What an ingestion did: `ingested` documents were added, changed or moved, `embedded` of their chunks embedded.

    The other chunks stood in the collection with the same words and headings, and have their vectors.
    """

    files: int = 0
    ingested: int = 0
    added: int = 0
    changed: int = 0
    moved: int = 0
    unchanged: int = 0
    chunks: int = 0
    embedded: int = 0
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where documents go and how they are cut."""

    principal: Principal
    collection_id: UUID
    generation: IndexGeneration
    text_search_config: str
    chunk_tokens: int
    max_file_bytes: int
    source: str | None = None


@dataclass(frozen=True, slots=True)
class _Parsed:
    change: Change
    document: ParsedDocument
    chunks: Sequence[Chunk]


async def ingest(
    items: Sequence[Item],
    changes: Changes,
    store: DocumentStore,
    embed: Embedding,
    to: Destination,
    progress: Callable[[Report], None],
) -> Report:
    """Bring the items that changed into the collection.

    One that cannot be read is noted in the report and stops nothing. Each document is one transaction, so what was
    written stays when DatabaseUnavailable or ProviderError (of the embedder) ends the rest, and a second run goes on.
    `progress` is called with the report as it stands, whenever documents are done.
    """
    report, started = Report(files=len(items)), perf_counter()
    queue: asyncio.Queue[_Parsed | None] = asyncio.Queue(QUEUE)
    try:
        with Sandbox() as sandbox:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_parse_all(items, changes, to, sandbox, queue, report, progress))
                async for batch in _gathered(queue):
                    await _embed_and_write(batch, store, embed, to)
                    _count(report, batch)
                    report.embedded = embed.embedded
                    progress(report)
    except ExceptionGroup as group:  # the first fault ended the other task; it is the one to tell
        raise group.exceptions[0] from group
    report.seconds = perf_counter() - started
    return report


def _count(report: Report, batch: Sequence[_Parsed]) -> None:
    kinds = [parsed.change.kind for parsed in batch]
    report.added += kinds.count("added")
    report.changed += kinds.count("changed")
    report.moved += kinds.count("moved")
    report.ingested += len(batch)
    report.chunks += sum(len(parsed.chunks) for parsed in batch)


async def _parse_all(
    items: Sequence[Item],
    changes: Changes,
    to: Destination,
    sandbox: Sandbox,
    queue: asyncio.Queue[_Parsed | None],
    report: Report,
    progress: Callable[[Report], None],
) -> None:
    for item in items:
        try:
            parsed = await asyncio.to_thread(partial(_parse, item, changes, to, sandbox))
        except UnreadableFile as error:
            if not (isinstance(error, Vanished) and changes.lost(item.uri)):
                report.failures.append(Failure(item.uri, error.message))
            progress(report)
        else:
            if parsed is None:
                report.unchanged += 1
                progress(report)
            else:
                await queue.put(parsed)
    await queue.put(None)


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
    """Documents in batches of about EMBED_CHUNKS chunks; what is there goes out when nothing more waits."""
    batch: list[_Parsed] = []
    while (parsed := await queue.get()) is not None:
        batch.append(parsed)
        if queue.empty() or sum(len(p.chunks) for p in batch) >= EMBED_CHUNKS:
            yield batch
            batch = []
    if batch:
        yield batch


async def _embed_and_write(batch: Sequence[_Parsed], store: DocumentStore, embed: Embedding, to: Destination) -> None:
    vectors = await embed([one for parsed in batch for one in parsed.chunks])
    at = 0
    for parsed in batch:
        own, at = vectors[at : at + len(parsed.chunks)], at + len(parsed.chunks)
        change = parsed.change
        version = NewVersion(
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
        await store.write(to.principal.workspace_id, to.collection_id, to.generation, version)
