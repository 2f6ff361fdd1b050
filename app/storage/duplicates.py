"""Duplicates: documents of a collection that say the same are stored once, and one of them stands for all."""

from collections.abc import Collection
from uuid import UUID

from psycopg import sql

from app.storage import models as m
from app.storage.context_cache import inherit_contexts
from app.storage.engine import WorkspaceConnection
from app.storage.filters import FILTERABLE

# Two writers of one text wait for each other, so that only one becomes the one that is stored.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%(collection)s::text || %(key)s::text, 0))"
_BEFORE = """
SELECT id, text_key IS NOT DISTINCT FROM %(key)s::uuid FROM document
WHERE collection_id = %(collection)s AND source_uri = %(uri)s FOR UPDATE
"""
_SAME = """
SELECT id FROM document
WHERE collection_id = %(collection)s AND text_key = %(key)s AND duplicate_of IS NULL AND source_uri <> %(uri)s
ORDER BY id LIMIT 1
"""
_HEIR = """
SELECT b.id, b.content_hash = o.content_hash FROM document b JOIN document o ON o.id = b.duplicate_of
WHERE o.id = %(old)s AND b.id <> ALL(%(without)s) ORDER BY b.id LIMIT 1 FOR UPDATE OF b
"""
_COPY_VERSION = """
INSERT INTO document_version (id, workspace_id, document_id, content_hash, title, media_type, text, metadata,
    text_search_config, headings, page_starts)
SELECT %(version)s, v.workspace_id, b.id, b.content_hash, b.title, b.media_type, v.text, v.metadata,
    v.text_search_config, v.headings, v.page_starts
FROM document_version v, document b WHERE v.document_id = %(old)s AND v.valid_to IS NULL AND b.id = %(heir)s
"""
_TAKE_CHUNKS = """
UPDATE chunk SET document_id = %(heir)s, document_version_id = %(version)s WHERE document_id = %(old)s
"""
_FILTERABLE = """
UPDATE {table} l SET metadata = {filterable}
FROM chunk c JOIN document_version v ON v.id = c.document_version_id JOIN document o ON o.id = c.document_id
WHERE l.chunk_id = c.id AND c.document_id = %(heir)s
"""
# The heir's own text may differ in white space and case; without stamp and hash the next sync reads it anew.
_INHERIT = """
UPDATE document SET duplicate_of = NULL,
    content_hash = CASE WHEN %(equal)s THEN content_hash ELSE '' END,
    source_stamp = CASE WHEN %(equal)s THEN source_stamp END
WHERE id = %(heir)s
"""
_FOLLOW = "UPDATE document SET duplicate_of = %(heir)s WHERE duplicate_of = %(old)s"


async def original_of(connection: WorkspaceConnection, collection_id: UUID, uri: str, key: UUID | None) -> UUID | None:
    """The stored document that says what the one at `uri` is about to say; None when it is to be stored itself.

    `key` stands for what a document says; with None it is nobody's duplicate. The duplicates of what it said before get
    its chunks. Call it before the document is changed.
    """
    parameters = {"collection": collection_id, "key": key, "uri": uri}
    if key is not None:
        await connection.execute(_LOCK, parameters)
    before = await (await connection.execute(_BEFORE, parameters)).fetchone()
    if before is not None and not before[1]:
        await hand_over(connection, before[0])
    row = await (await connection.execute(_SAME, parameters)).fetchone() if key is not None else None
    return row[0] if row else None


async def hand_over(connection: WorkspaceConnection, document_id: UUID, without: Collection[UUID] = ()) -> None:
    """Give a document's chunks to one of its duplicates (not one of `without`), if it has any; the others follow."""
    found = await (await connection.execute(_HEIR, {"old": document_id, "without": list(without)})).fetchone()
    if found is None:
        return
    heir, equal = found
    parameters = {"old": document_id, "heir": heir, "version": m.new_id(), "equal": equal}
    await connection.execute(_COPY_VERSION, parameters)
    await connection.execute(_TAKE_CHUNKS, parameters)
    await inherit_contexts(connection, document_id, heir)
    for table in ("chunk_embedding", "chunk_lexeme"):
        statement = sql.SQL(_FILTERABLE).format(table=sql.Identifier(table), filterable=FILTERABLE)
        await connection.execute(statement, parameters)
    await connection.execute(_INHERIT, parameters)
    await connection.execute(_FOLLOW, parameters)
