"""Loading: the synthetic corpus in the real tables, by the writer that ingestion uses; what is there stays."""

import asyncio
from collections.abc import Sequence
from time import perf_counter
from uuid import UUID

from psycopg import sql

from app.domain.document import Chunk, ParsedDocument
from app.domain.index import IndexGeneration
from app.domain.principal import DEFAULT_WORKSPACE_ID
from app.storage.documents import DocumentStore
from app.storage.engine import Database
from app.storage.generations import ensure_generation
from app.storage.indexes import build_indexes
from app.storage.maintenance import analyze, maintenance
from app.storage.versions import NewVersion
from evals.bench.synthetic import DIMENSIONS, SyntheticCorpus, SyntheticDocument
from evals.progress import Progress

COLLECTIONS = ("bench-large", "bench-small")
"""Three quarters of the documents, and one quarter."""
CHUNKER = "row"
CONFIG = "english"
_SCHEME = "bench:"
_WRITERS = 4
_BLOCK = 200  # documents made before they are written


def collection_of(number: int) -> str:
    """The collection of a document."""
    return COLLECTIONS[number % 4 == 0]


async def load(
    database: Database, corpus: SyntheticCorpus, embedder: str, progress: Progress
) -> tuple[IndexGeneration, float]:
    """Write what is missing and build the indexes afterwards; the generation, and the seconds that it took.

    Raises EmbedderMismatch when the folder holds another corpus, DatabaseUnavailable.
    """
    started = perf_counter()
    store = DocumentStore(database)
    generation = await ensure_generation(database, embedder=embedder, dimensions=DIMENSIONS, chunker=CHUNKER)
    ids = {name: await store.ensure_collection(DEFAULT_WORKSPACE_ID, name) for name in COLLECTIONS}
    there = set[str]()
    for collection_id in ids.values():
        there |= set(await store.hashes(DEFAULT_WORKSPACE_ID, collection_id))
    missing = [number for number in range(corpus.documents) if f"{_SCHEME}{number}" not in there]
    async with maintenance(database) as alone:
        if missing:
            for kind in ("hnsw", "lexical"):
                name = sql.Identifier(f"{kind}_{generation.id}")
                await alone.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(name))
        await _write(store, corpus, generation, ids, missing, progress)
        await build_indexes(alone, generation)
        if missing:
            await alone.execute("VACUUM chunk_embedding, chunk_lexeme, chunk, document, document_version")
            await analyze(alone)
    return generation, perf_counter() - started


async def _write(
    store: DocumentStore,
    corpus: SyntheticCorpus,
    generation: IndexGeneration,
    ids: dict[str, UUID],
    missing: Sequence[int],
    progress: Progress,
) -> None:
    task = progress.start("loading documents", corpus.documents, done=corpus.documents - len(missing))
    slots = asyncio.Semaphore(_WRITERS)

    async def write_one(number: int) -> None:
        async with slots:
            collection = ids[collection_of(number)]
            await store.write(DEFAULT_WORKSPACE_ID, collection, generation, version(corpus.document(number)))
        progress.advance(task)

    for start in range(0, len(missing), _BLOCK):
        await asyncio.gather(*map(write_one, missing[start : start + _BLOCK]))


def version(document: SyntheticDocument) -> NewVersion:
    """A document as the writer takes it."""
    chunks, start = [], 0
    for ordinal, text in enumerate(document.texts):
        chunks.append(Chunk(ordinal, (), start, start + len(text), None, len(text.split()), text, "\n\n"))
        start += len(text) + 2
    return NewVersion(
        f"{_SCHEME}{document.number}",
        document.number.to_bytes(4, "big"),
        ParsedDocument(
            "\n\n".join(document.texts), f"Document {document.number}", "text/plain", metadata=document.metadata
        ),
        chunks,
        document.vectors,
        CONFIG,
    )
