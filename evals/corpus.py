"""Corpus: a data set's documents in a collection, written as ingestion writes documents."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from uuid import UUID

from app.domain.document import Chunk, ParsedDocument
from app.domain.errors import InvalidInput
from app.domain.index import IndexGeneration, chunker_id
from app.domain.ports import Embedder
from app.domain.principal import Principal
from app.providers.tokenizer import count_tokens
from app.settings import Settings
from app.storage.documents import DocumentStore
from app.storage.engine import Database
from app.storage.exact import count_chunks
from app.storage.generations import ensure_generation
from app.storage.versions import NewVersion
from evals.datasets.beir import BeirDataset, Row
from evals.progress import Progress
from evals.vectors import VectorCache
from ingestion.chunking.structure import chunk
from ingestion.language import config_of

SCHEME = "beir:"
WHOLE = "row"
_BLOCK = 256  # documents embedded and written together; what is written stays when the rest is interrupted


@dataclass(frozen=True, slots=True)
class IndexedCorpus:
    """The collection that holds a data set."""

    collection: str
    collection_id: UUID
    generation: IndexGeneration
    documents: int
    chunks: int


def collection_name(dataset: BeirDataset, embedder: Embedder, chunking: str) -> str:
    """`beir-FOLDER-HASH`: another corpus, embedder or chunking is another collection."""
    identity = f"{dataset.fingerprint}\0{embedder.name}\0{embedder.dimensions}\0{chunking}"
    folder = re.sub(r"[^A-Za-z0-9_.]+", "-", dataset.name)
    return f"beir-{folder}-{sha256(identity.encode()).hexdigest()[:8]}"


def chunking_name(settings: Settings, *, rechunk: bool) -> str:
    """`row` for a chunk per document, otherwise the chunker's identity."""
    return chunker_id(settings.chunk_tokens) if rechunk else WHOLE


async def index_corpus(
    settings: Settings,
    database: Database,
    embedder: Embedder,
    dataset: BeirDataset,
    progress: Progress,
    *,
    collection: str,
    rechunk: bool,
) -> IndexedCorpus:
    """Bring the documents into the collection, those that are not there yet; a complete one is left alone.

    Raises InvalidInput (the collection has other documents), EmbedderMismatch, DatabaseUnavailable, ProviderError (of
    the embedder).
    """
    workspace, store = Principal().workspace_id, DocumentStore(database)
    generation = await ensure_generation(
        database,
        embedder=embedder.name,
        dimensions=embedder.dimensions,
        chunker=chunker_id(settings.chunk_tokens),
    )
    collection_id = await store.ensure_collection(workspace, collection)
    known = await store.hashes(workspace, collection_id)
    rows = [row for row in dataset.corpus if row.text.strip() or row.title]
    if others := known.keys() - {SCHEME + row.id for row in rows}:
        raise InvalidInput(
            f"The collection {collection} holds {len(others)} documents that are not in the corpus of {dataset.name}, "
            f"{min(others)} among them. They would be found too: name another one, or leave --collection out."
        )
    chunking = chunking_name(settings, rechunk=rechunk)
    missing = [row for row in rows if known.get(SCHEME + row.id) != _content_hash(row, chunking)]
    if missing:
        cache = VectorCache(settings.data_dir / "evals", dataset.name, embedder)
        writer = _Writer(settings, store, generation, collection_id, chunking)
        task = progress.start(f"ingesting {dataset.name}", len(rows), done=len(rows) - len(missing))
        for start in range(0, len(missing), _BLOCK):
            block = missing[start : start + _BLOCK]
            await writer.write(block, _chunks(block, settings, rechunk=rechunk), cache)
            progress.advance(task, len(block))
    chunks = await count_chunks(database, workspace, generation, collection_id)
    return IndexedCorpus(collection, collection_id, generation, len(rows), chunks)


class _Writer:
    """Embeds and stores blocks of documents."""

    def __init__(
        self,
        settings: Settings,
        store: DocumentStore,
        generation: IndexGeneration,
        collection_id: UUID,
        chunking: str,
    ) -> None:
        self._store = store
        self._generation = generation
        self._collection_id = collection_id
        self._config = settings.text_search_config
        self._chunking = chunking

    async def write(self, rows: Sequence[Row], chunks: Sequence[Sequence[Chunk]], cache: VectorCache) -> None:
        """In one transaction."""
        vectors = await cache.embed([piece.embedding_text for pieces in chunks for piece in pieces])
        versions, at = [], 0
        for row, pieces in zip(rows, chunks, strict=True):
            own, at = vectors[at : at + len(pieces)], at + len(pieces)
            document = _document(row)
            config = config_of(document, self._config)
            content_hash = _content_hash(row, self._chunking)
            versions.append(NewVersion(SCHEME + row.id, content_hash, document, pieces, own, config))
        await self._store.write_all(Principal().workspace_id, self._collection_id, self._generation, versions)


def _chunks(rows: Sequence[Row], settings: Settings, *, rechunk: bool) -> list[list[Chunk]]:
    return [_rechunked(row, settings.chunk_tokens) if rechunk else [_whole(row)] for row in rows]


def _document(row: Row) -> ParsedDocument:
    return ParsedDocument(row.text if row.text.strip() else row.title, row.title or row.id, "text/plain")


def _path(row: Row) -> tuple[str, ...]:
    """The title stands above the text as a heading would, unless it is the text."""
    return (row.title,) if row.title and row.text.strip() else ()


def _whole(row: Row) -> Chunk:
    text = _document(row).text
    return Chunk(0, _path(row), 0, len(text), None, count_tokens(text), text)


def _rechunked(row: Row, max_tokens: int) -> list[Chunk]:
    pieces = chunk(_document(row), max_tokens=max_tokens, count_tokens=count_tokens)
    return [replace(piece, heading_path=_path(row)) for piece in pieces]


def _content_hash(row: Row, chunking: str) -> bytes:
    """Of a document and how it is cut: cut otherwise, it is written anew."""
    cut = "" if chunking == WHOLE else f"\0{chunking}"
    return sha256(f"{row.title}\0{row.text}{cut}".encode()).digest()
