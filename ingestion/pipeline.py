"""Pipeline: files in, documents with chunks and vectors out: load, chunk, embed, write."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from time import perf_counter
from uuid import UUID

import structlog

from app.domain.document import Chunk, ParsedDocument
from app.domain.errors import UnreadableFile
from app.domain.index import IndexGeneration
from app.domain.ports import Embedder
from app.domain.principal import Principal
from app.providers.tokenizer import count_tokens
from app.storage.documents import DocumentStore, NewVersion
from ingestion.chunking.structure import chunk
from ingestion.files import SourceFile
from ingestion.language import config_of
from ingestion.loaders.dispatch import load

log = structlog.get_logger()

PARSER = b"3\n"  # part of the content hash: raised when loaders or chunks change, so that files are taken anew
QUEUE = 16  # documents parsed ahead of the embedder
EMBED_CHUNKS = 128  # documents are gathered until they have this many chunks, then embedded together


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be ingested, and why."""

    uri: str
    reason: str


@dataclass(slots=True)
class Report:
    """What an ingestion did."""

    files: int = 0
    ingested: int = 0
    unchanged: int = 0
    chunks: int = 0
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


@dataclass(frozen=True, slots=True)
class _Parsed:
    source: SourceFile
    content_hash: bytes
    document: ParsedDocument
    chunks: Sequence[Chunk]


async def ingest(
    sources: Sequence[SourceFile],
    store: DocumentStore,
    embedder: Embedder,
    to: Destination,
    progress: Callable[[Report], None],
) -> Report:
    """Bring the files into the collection; unchanged ones (by content hash) are skipped.

    A file that cannot be read is noted in the report and stops nothing. Each document is one transaction, so what was
    written stays when DatabaseUnavailable or ProviderError (of the embedder) ends the rest, and a second run goes on.
    `progress` is called with the report as it stands, whenever files are done.
    """
    report, started = Report(files=len(sources)), perf_counter()
    known = await store.hashes(to.principal.workspace_id, to.collection_id)
    queue: asyncio.Queue[_Parsed | None] = asyncio.Queue(QUEUE)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_parse_all(sources, known, to, queue, report, progress))
            async for batch in _gathered(queue):
                await _embed_and_write(batch, store, embedder, to)
                report.ingested += len(batch)
                report.chunks += sum(len(parsed.chunks) for parsed in batch)
                progress(report)
    except ExceptionGroup as group:  # the first fault ended the other task; it is the one to tell
        raise group.exceptions[0] from group
    report.seconds = perf_counter() - started
    return report


async def _parse_all(
    sources: Sequence[SourceFile],
    known: dict[str, bytes],
    to: Destination,
    queue: asyncio.Queue[_Parsed | None],
    report: Report,
    progress: Callable[[Report], None],
) -> None:
    for source in sources:
        try:
            parsed = await asyncio.to_thread(partial(_parse, source, known.get(source.uri), to))
        except UnreadableFile as error:
            report.failures.append(Failure(source.uri, error.message))
            progress(report)
        else:
            if parsed is None:
                report.unchanged += 1
                progress(report)
            else:
                await queue.put(parsed)
    await queue.put(None)


def _parse(source: SourceFile, known: bytes | None, to: Destination) -> _Parsed | None:
    """The parsed file, None when it is unchanged. Raises UnreadableFile."""
    data = source.read(max_bytes=to.max_file_bytes)
    content_hash = sha256(PARSER + data).digest()
    if content_hash == known:
        return None
    document = load(source.path, data)
    chunks = chunk(document, max_tokens=to.chunk_tokens, count_tokens=count_tokens)
    return _Parsed(source, content_hash, document, chunks)


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


async def _embed_and_write(batch: Sequence[_Parsed], store: DocumentStore, embedder: Embedder, to: Destination) -> None:
    vectors = await embedder.embed_passages([c.embedding_text for parsed in batch for c in parsed.chunks])
    at = 0
    for parsed in batch:
        own, at = vectors[at : at + len(parsed.chunks)], at + len(parsed.chunks)
        version = NewVersion(
            uri=parsed.source.uri,
            content_hash=parsed.content_hash,
            document=parsed.document,
            chunks=parsed.chunks,
            vectors=own,
            text_search_config=config_of(parsed.document, to.text_search_config),
        )
        await store.write(to.principal.workspace_id, to.collection_id, to.generation, version)
