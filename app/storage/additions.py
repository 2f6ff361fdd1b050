"""Additions: many documents that are new to a collection, added with few statements."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from app.storage import models as m
from app.storage.engine import WorkspaceConnection
from app.storage.versions import NewVersion

# As in `duplicates`, two writers of one text wait for each other; in one order, so that neither waits for both.
_LOCK = """
SELECT pg_advisory_xact_lock(key) FROM (
    SELECT DISTINCT hashtextextended(%(collection)s::text || k::text, 0) AS key FROM unnest(%(keys)s::uuid[]) k
    ORDER BY key
) ordered
"""
_ORIGINALS = """
SELECT DISTINCT ON (text_key) text_key, id FROM document
WHERE collection_id = %(collection)s AND text_key = ANY(%(keys)s) AND duplicate_of IS NULL ORDER BY text_key, id
"""
_KNOWN = "SELECT source_uri FROM document WHERE collection_id = %(collection)s AND source_uri = ANY(%(uris)s)"
_COLUMNS = "id, source_uri, content_hash, title, media_type, source, source_stamp, text_key, duplicate_of"
_TYPES = ("uuid", "text", "bytea", "text", "text", "text", "text", "uuid", "uuid")
# By URI, so that two writers of the same documents take their locks in one order.
_INSERT = f"""
INSERT INTO document (workspace_id, collection_id, {_COLUMNS})
SELECT %s, %s, n.* FROM unnest({", ".join(f"%s::{kind}[]" for kind in _TYPES)}) n({_COLUMNS})
ORDER BY source_uri
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class Added:
    """What was added: every URI, and of those that are nobody's duplicate the document's id with its version."""

    uris: set[str]
    stored: list[tuple[UUID, NewVersion]]


async def add_documents(
    connection: WorkspaceConnection, workspace_id: UUID, collection_id: UUID, versions: Sequence[NewVersion]
) -> Added:
    """Add the documents that the collection does not have, without their versions; leave the others as they are.

    Raises psycopg's UniqueViolation when another writer adds one of them meanwhile.
    """
    parameters = {
        "collection": collection_id,
        "keys": [new.text_key for new in versions if new.text_key is not None],
        "uris": [new.uri for new in versions],
    }
    await connection.execute(_LOCK, parameters)
    known = {row[0] for row in await (await connection.execute(_KNOWN, parameters)).fetchall()}
    originals: dict[UUID | None, UUID] = dict(await (await connection.execute(_ORIGINALS, parameters)).fetchall())
    rows, stored = list[tuple[object, ...]](), list[tuple[UUID, NewVersion]]()
    for new in versions:
        if new.uri in known:
            continue
        document_id = m.new_id()
        original = originals.get(new.text_key)
        if original is None:
            stored.append((document_id, new))
            if new.text_key is not None:
                originals[new.text_key] = document_id
        about = (new.document.title, new.document.media_type, new.source, new.stamp)
        rows.append((document_id, new.uri, new.content_hash, *about, new.text_key, original))
    if not rows:
        return Added(set(), [])
    columns = [list(column) for column in zip(*rows, strict=True)]
    await connection.execute(_INSERT, (workspace_id, collection_id, *columns))
    return Added({str(row[1]) for row in rows}, stored)
