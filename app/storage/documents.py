"""Documents: collections, documents, their versions and chunks."""

from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from psycopg.errors import UniqueViolation
from sqlalchemy import func, or_, select

from app.domain.document import JSON_TYPES, CollectionSummary, DocumentSummary, DocumentText
from app.domain.errors import CollectionNotFound, DocumentNotFound
from app.domain.index import IndexGeneration
from app.storage import models as m
from app.storage.additions import add_documents
from app.storage.collections import delete_collection, in_collection
from app.storage.context_cache import forget_contexts
from app.storage.duplicates import original_of
from app.storage.engine import Database, WorkspaceConnection
from app.storage.inventory import Inventory
from app.storage.versions import NewVersion, write_versions
from app.storage.writers import write_into


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
        """Documents by collection and URI. Raises CollectionNotFound."""
        if collection is not None:
            await self.collection_ids(workspace_id, collection)
        chunks = (
            select(func.count())
            .select_from(m.Chunk)
            .join(m.DocumentVersion, m.DocumentVersion.id == m.Chunk.document_version_id)
            .join(m.IndexGeneration, m.IndexGeneration.chunker == m.Chunk.chunker)
            .where(m.Chunk.document_id == func.coalesce(m.Document.duplicate_of, m.Document.id))
            .where(m.DocumentVersion.valid_to.is_(None))
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
                func.encode(m.Document.content_hash, "hex"),
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
            .join(version, or_(version.document_id == m.Document.id, version.document_id == m.Document.duplicate_of))
            .join(m.Collection, m.Collection.id == m.Document.collection_id)
            .where(m.Document.id == document_id)
        )
        query = query.where(version.valid_to.is_(None) if version_id is None else version.id == version_id)
        async with self._database.transaction(workspace_id) as session:
            row = (await session.execute(query)).one_or_none()
        if row is None:
            raise DocumentNotFound
        return DocumentText(*row)

    async def delete(self, workspace_id: UUID, document_id: UUID) -> None:
        """Delete a document with all its versions, and those of files in it; once this returns, nothing finds them.

        The records of a JSON file are not in what it was as a whole: they took its place. Raises DocumentNotFound.
        """
        wanted = (m.Document.collection_id, m.Document.source_uri, m.Document.media_type)
        query = select(*wanted).where(m.Document.id == document_id)
        async with self._database.transaction(workspace_id) as session:
            row = (await session.execute(query)).one_or_none()
        if row is None:
            raise DocumentNotFound
        inventory = Inventory(self._database, workspace_id, row[0])
        uris = [row[1]] if row[2] in JSON_TYPES else list(await inventory.documents(row[1]))
        if not await inventory.delete(uris):
            raise DocumentNotFound

    async def delete_collection(self, workspace_id: UUID, name: str) -> int:
        """Delete a collection with its documents; returns how many there were. Raises CollectionNotFound."""
        return await delete_collection(self._database, workspace_id, name)

    async def hashes(self, workspace_id: UUID, collection_id: UUID) -> dict[str, bytes]:
        """Content hashes of a collection's documents by URI."""
        query = select(m.Document.source_uri, m.Document.content_hash).where(m.Document.collection_id == collection_id)
        async with self._database.transaction(workspace_id) as session:
            return {row.source_uri: row.content_hash for row in await session.execute(query)}

    async def write(
        self, workspace_id: UUID, collection_id: UUID, generation: IndexGeneration, new: NewVersion
    ) -> UUID:
        """Store a document's new version with its chunks, vectors and words, and retire the old one; one transaction.

        Returns the document's id. The old version's text is kept, its chunks go, so that nothing retrieves them. A
        document that says the same as another one in its collection is only noted as its duplicate. Raises
        GenerationRetired when another generation has become the active one, CollectionNotFound when the collection was
        deleted.
        """
        with in_collection():
            return await self._write(workspace_id, collection_id, generation, new)

    async def _write(
        self, workspace_id: UUID, collection_id: UUID, generation: IndexGeneration, new: NewVersion
    ) -> UUID:
        async with self._database.connection(workspace_id) as connection:
            await write_into(connection, generation)
            if new.moved_from is not None:
                await connection.execute(_MOVE, {"collection": collection_id, "old": new.moved_from, "new": new.uri})
                await forget_contexts(connection, collection_id, [new.moved_from])
            original = await original_of(connection, collection_id, new.uri, new.text_key)
            document_id = await _upsert_document(connection, workspace_id, collection_id, new, original)
            await connection.execute("DELETE FROM chunk WHERE document_id = %s", (document_id,))
            await connection.execute(
                "UPDATE document_version SET valid_to = now() WHERE document_id = %s AND valid_to IS NULL",
                (document_id,),
            )
            if original is None:
                await write_versions(connection, generation, workspace_id, collection_id, [(document_id, new)])
        return document_id

    async def write_all(
        self, workspace_id: UUID, collection_id: UUID, generation: IndexGeneration, versions: Sequence[NewVersion]
    ) -> None:
        """Store versions of different documents of one collection, as `write` does.

        Those of documents that are new to the collection are written together, in one transaction and with few
        statements; the others follow one by one. Raises as `write`.
        """
        written = set[str]()
        if len(versions) > 1:
            with suppress(UniqueViolation), in_collection():  # another writer adds one of them at this moment
                written = await self._add(workspace_id, collection_id, generation, versions)
        for new in versions:
            if new.uri not in written:
                await self.write(workspace_id, collection_id, generation, new)

    async def _add(
        self, workspace_id: UUID, collection_id: UUID, generation: IndexGeneration, versions: Sequence[NewVersion]
    ) -> set[str]:
        """Store those that are new to the collection in one transaction; returns their URIs."""
        fresh = [new for new in versions if new.moved_from is None]
        async with self._database.connection(workspace_id) as connection:
            await write_into(connection, generation)
            added = await add_documents(connection, workspace_id, collection_id, fresh)
            await write_versions(connection, generation, workspace_id, collection_id, added.stored)
        return added.uris


# The document keeps its id, so that citations in old conversations open where it is now.
_MOVE = """
UPDATE document SET source_uri = %(new)s WHERE collection_id = %(collection)s AND source_uri = %(old)s
    AND NOT EXISTS (SELECT FROM document WHERE collection_id = %(collection)s AND source_uri = %(new)s)
"""
_UPSERT = """
INSERT INTO document (id, workspace_id, collection_id, source_uri, content_hash, title, media_type, source,
    source_stamp, text_key, duplicate_of)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (collection_id, source_uri) DO UPDATE SET content_hash = excluded.content_hash, title = excluded.title,
    media_type = excluded.media_type, source = coalesce(document.source, excluded.source),
    source_stamp = excluded.source_stamp, text_key = excluded.text_key, duplicate_of = excluded.duplicate_of,
    updated_at = now()
RETURNING id
"""


async def _upsert_document(
    connection: WorkspaceConnection,
    workspace_id: UUID,
    collection_id: UUID,
    new: NewVersion,
    original: UUID | None,
) -> UUID:
    values = (m.new_id(), workspace_id, collection_id, new.uri, new.content_hash, new.document.title)
    cursor = await connection.execute(
        _UPSERT, (*values, new.document.media_type, new.source, new.stamp, new.text_key, original)
    )
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - the statement returns a row in either case
    return row[0]  # type: ignore[no-any-return]
