"""Inventory: what a collection holds, as its sources see it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg.rows import class_row

from app.domain.document import MEMBER
from app.storage.context_cache import forget_contexts
from app.storage.duplicates import hand_over
from app.storage.engine import Database
from app.storage.writers import join_writers

DELETED_TOGETHER = 200  # documents in one transaction

_ALL = """
SELECT source_uri AS uri, content_hash, source, source_stamp AS stamp FROM document
WHERE collection_id = %(collection)s AND (%(uri)s::text IS NULL OR source_uri = %(uri)s
    OR starts_with(source_uri, %(uri)s || %(member)s))
"""
_CLAIM = """
UPDATE document SET source = coalesce(source, %(source)s), source_stamp = seen.stamp
FROM unnest(%(uris)s::text[], %(stamps)s::text[]) seen(uri, stamp)
WHERE collection_id = %(collection)s AND source_uri = seen.uri
"""
_FORGET = """
UPDATE document SET content_hash = '', source_stamp = NULL WHERE collection_id = %s AND source_uri = ANY(%s)
"""
_TAKE_OVER = """
UPDATE document SET source = %(source)s WHERE collection_id = %(collection)s AND source_uri = ANY(%(uris)s)
"""
_LOCK = "SELECT id FROM document WHERE collection_id = %s AND source_uri = ANY(%s) ORDER BY id FOR UPDATE"
_WITH_DUPLICATES = """
SELECT DISTINCT duplicate_of FROM document WHERE duplicate_of = ANY(%(ids)s) AND id <> ALL(%(ids)s)
"""
_DELETE = "DELETE FROM document WHERE id = ANY(%s)"


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """What is stored of a document, to see whether it changed; `source` None when no declared source brought it."""

    uri: str
    content_hash: bytes
    source: str | None
    stamp: str | None


class Inventory:
    """Reads, claims, takes over and deletes the documents of one collection by their URIs."""

    def __init__(self, database: Database, workspace_id: UUID, collection_id: UUID) -> None:
        self._database = database
        self._workspace_id = workspace_id
        self._collection_id = collection_id

    async def documents(self, uri: str | None = None) -> dict[str, StoredDocument]:
        """Every document by its URI, or the one of this URI and those of the files in it."""
        async with self._database.connection(self._workspace_id) as connection:
            cursor = connection.cursor(row_factory=class_row(StoredDocument))
            await cursor.execute(_ALL, {"collection": self._collection_id, "uri": uri, "member": MEMBER})
            return {document.uri: document async for document in cursor}

    async def claim(self, source: str | None, stamps: Mapping[str, str | None]) -> None:
        """Note that unchanged documents that had no source belong to this one, and the stamps of all by URI."""
        async with self._database.connection(self._workspace_id) as connection:
            parameters = {"source": source, "uris": list(stamps), "stamps": list(stamps.values())}
            await connection.execute(_CLAIM, {**parameters, "collection": self._collection_id})

    async def forget(self, uris: Sequence[str]) -> None:
        """Forget what was in the files of these documents, so that they are read anew whatever is in there."""
        if not uris:
            return
        async with self._database.connection(self._workspace_id) as connection:
            await connection.execute(_FORGET, (self._collection_id, list(uris)))

    async def take_over(self, source: str, uris: Sequence[str]) -> None:
        """Note that these documents, whoever brought them, belong to this source now."""
        if not uris:
            return
        async with self._database.connection(self._workspace_id) as connection:
            parameters = {"source": source, "collection": self._collection_id, "uris": list(uris)}
            await connection.execute(_TAKE_OVER, parameters)

    async def delete(self, uris: Sequence[str]) -> int:
        """Delete documents with all their versions; returns how many there were.

        Once this returns, no search finds them and no citation opens them. Their duplicates stay.
        """
        deleted = 0
        for start in range(0, len(uris), DELETED_TOGETHER):
            async with self._database.connection(self._workspace_id) as connection:
                await join_writers(connection)
                block = list(uris[start : start + DELETED_TOGETHER])
                rows = await (await connection.execute(_LOCK, (self._collection_id, block))).fetchall()
                ids = [row[0] for row in rows]
                needed = await (await connection.execute(_WITH_DUPLICATES, {"ids": ids})).fetchall()
                for (document_id,) in needed:
                    await hand_over(connection, document_id, without=ids)
                deleted += (await connection.execute(_DELETE, (ids,))).rowcount
                await forget_contexts(connection, self._collection_id, block)
        return deleted
