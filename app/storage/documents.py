"""Documents: collections, documents, their versions and chunks."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec
from sqlalchemy import func, select

from app.domain.document import Chunk, CollectionSummary, DocumentSummary, DocumentText, ParsedDocument
from app.domain.errors import CollectionNotFound, DocumentNotFound
from app.domain.index import IndexGeneration
from app.domain.ports import Vectors
from app.storage import models as m
from app.storage.chunks import ChunkOwner, copy_chunks, copy_vectors
from app.storage.engine import Database, WorkspaceConnection
from app.storage.lexemes import index_words
from app.storage.metadata_fields import remember_fields
from app.storage.writers import write_into


@dataclass(frozen=True, slots=True)
class StoredHash:
    """What is stored of a source: the hash of its bytes, to see whether it changed."""

    uri: str
    content_hash: bytes


class DocumentStore:
    """Reads and writes documents; each write is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def collections(self, workspace_id: UUID) -> list[CollectionSummary]:
        """Every collection by name, with its number of documents."""
        query = (
            select(m.Collection.name, func.count(m.Document.id))
            .outerjoin(m.Document, m.Document.collection_id == m.Collection.id)
            .group_by(m.Collection.id)
            .order_by(m.Collection.name)
        )
        async with self._database.transaction(workspace_id) as session:
            return [CollectionSummary(name, count) for name, count in await session.execute(query)]

    async def collection_ids(self, workspace_id: UUID, name: str | None = None) -> dict[str, UUID]:
        """Collections by name: all, or the one named. Raises CollectionNotFound."""
        query = select(m.Collection.name, m.Collection.id)
        if name is not None:
            query = query.where(m.Collection.name == name)
        async with self._database.transaction(workspace_id) as session:
            found = {row.name: row.id for row in await session.execute(query)}
        if name is not None and not found:
            raise CollectionNotFound(
                f"There is no collection named {name!r}; `footnote ingest PATH --collection {name}` makes one."
            )
        return found

    async def ensure_collection(self, workspace_id: UUID, name: str) -> UUID:
        """The collection's id; made when missing."""
        async with self._database.connection(workspace_id) as connection:
            await connection.execute(
                "INSERT INTO collection (id, workspace_id, name) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                (m.new_id(), workspace_id, name),
            )
        return (await self.collection_ids(workspace_id, name))[name]

    async def page(
        self, workspace_id: UUID, collection: str | None, *, limit: int, offset: int
    ) -> list[DocumentSummary]:
        """Documents by collection and URI."""
        chunks = (
            select(func.count())
            .select_from(m.Chunk)
            .join(m.DocumentVersion, m.DocumentVersion.id == m.Chunk.document_version_id)
            .join(m.IndexGeneration, m.IndexGeneration.chunker == m.Chunk.chunker)
            .where(m.Chunk.document_id == m.Document.id, m.DocumentVersion.valid_to.is_(None))
            .where(m.IndexGeneration.state == "active")
            .correlate(m.Document)
            .scalar_subquery()
        )
        query = (
            select(
                m.Document.id,
                m.Collection.name,
                m.Document.source_uri,
                m.Document.title,
                m.Document.media_type,
                chunks,
                m.Document.updated_at,
            )
            .join(m.Collection, m.Collection.id == m.Document.collection_id)
            .order_by(m.Collection.name, m.Document.source_uri)
            .limit(limit)
            .offset(offset)
        )
        if collection is not None:
            query = query.where(m.Collection.name == collection)
        async with self._database.transaction(workspace_id) as session:
            return [DocumentSummary(*row) for row in await session.execute(query)]

    async def text(self, workspace_id: UUID, document_id: UUID, version_id: UUID | None = None) -> DocumentText:
        """The current version, or the one named (an old citation's). Raises DocumentNotFound."""
        version = m.DocumentVersion
        query = (
            select(
                m.Document.id,
                version.id,
                m.Collection.name,
                m.Document.source_uri,
                version.title,
                version.media_type,
                version.text,
                version.valid_to.is_(None),
                version.valid_from,
            )
            .join(version, version.document_id == m.Document.id)
            .join(m.Collection, m.Collection.id == m.Document.collection_id)
            .where(m.Document.id == document_id)
        )
        query = query.where(version.valid_to.is_(None) if version_id is None else version.id == version_id)
        async with self._database.transaction(workspace_id) as session:
            row = (await session.execute(query)).one_or_none()
        if row is None:
            raise DocumentNotFound
        return DocumentText(*row)

    async def hashes(self, workspace_id: UUID, collection_id: UUID) -> dict[str, bytes]:
        """Content hashes of a collection's documents by URI."""
        query = select(m.Document.source_uri, m.Document.content_hash).where(m.Document.collection_id == collection_id)
        async with self._database.transaction(workspace_id) as session:
            return {row.source_uri: row.content_hash for row in await session.execute(query)}

    async def write(
        self, workspace_id: UUID, collection_id: UUID, generation: IndexGeneration, new: "NewVersion"
    ) -> UUID:
        """Store a document's new version with its chunks, vectors and words, and retire the old one; one transaction.

        Returns the document's id. The old version's text is kept, its chunks go, so that nothing retrieves them. Raises
        GenerationRetired when another generation has become the active one.
        """
        async with self._database.connection(workspace_id) as connection:
            await write_into(connection, generation)
            document_id = await _upsert_document(connection, workspace_id, collection_id, new)
            await connection.execute("DELETE FROM chunk WHERE document_id = %s", (document_id,))
            await connection.execute(
                "UPDATE document_version SET valid_to = now() WHERE document_id = %s AND valid_to IS NULL",
                (document_id,),
            )
            version_id = await _insert_version(connection, workspace_id, document_id, new)
            owner = ChunkOwner(
                workspace_id,
                collection_id,
                document_id,
                version_id,
                uri=new.uri,
                title=new.document.title,
                media_type=new.document.media_type,
                metadata=new.document.metadata,
            )
            ids = await copy_chunks(connection, owner, generation.chunker, new.chunks)
            await copy_vectors(connection, owner, generation.id, zip(ids, new.chunks, new.vectors, strict=True))
            await index_words(connection, generation.id, ids)
            await remember_fields(connection, workspace_id, new.document.metadata)
        return document_id


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A parsed, chunked, embedded document to be stored; `vectors[i]` belongs to `chunks[i]`."""

    uri: str
    content_hash: bytes
    document: ParsedDocument
    chunks: Sequence[Chunk]
    vectors: Vectors
    text_search_config: str


async def _upsert_document(
    connection: WorkspaceConnection, workspace_id: UUID, collection_id: UUID, new: NewVersion
) -> UUID:
    cursor = await connection.execute(
        """
        INSERT INTO document (id, workspace_id, collection_id, source_uri, content_hash, title, media_type)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (collection_id, source_uri) DO UPDATE SET content_hash = excluded.content_hash,
            title = excluded.title, media_type = excluded.media_type, updated_at = now()
        RETURNING id
        """,
        (
            m.new_id(),
            workspace_id,
            collection_id,
            new.uri,
            new.content_hash,
            new.document.title,
            new.document.media_type,
        ),
    )
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - the statement returns a row in either case
    return row[0]  # type: ignore[no-any-return]


async def _insert_version(
    connection: WorkspaceConnection, workspace_id: UUID, document_id: UUID, new: NewVersion
) -> UUID:
    version_id = m.new_id()
    document = new.document
    await connection.execute(
        """
        INSERT INTO document_version (id, workspace_id, document_id, content_hash, title, media_type, text, metadata,
            text_search_config, headings, page_starts)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s::regconfig, %s, %s)
        """,
        (
            version_id,
            workspace_id,
            document_id,
            new.content_hash,
            document.title,
            document.media_type,
            document.text,
            msgspec.json.encode(document.metadata).decode(),
            new.text_search_config,
            msgspec.json.encode(document.headings).decode(),
            list(document.page_starts),
        ),
    )
    return version_id
