"""Context cache: contexts that were written before, so that the language model is asked once for each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from app.storage.engine import Database, WorkspaceConnection

# That of the document's own chunk first; else one that was written for the very same prompt anywhere in the workspace.
_FIND = """
SELECT DISTINCT ON (n.i) n.i, k.context, k.own
FROM unnest(%(uris)s::text[], %(keys)s::uuid[], %(asked)s::uuid[]) WITH ORDINALITY n(uri, key, asked, i)
CROSS JOIN LATERAL (
    (SELECT context, true AS own FROM chunk_context
    WHERE collection_id = %(collection)s AND source_uri = n.uri AND key = n.key)
    UNION ALL
    (SELECT context, false FROM chunk_context WHERE asked = n.asked LIMIT 1)
) k
ORDER BY n.i, k.own DESC
"""
_KEEP = """
INSERT INTO chunk_context (collection_id, source_uri, key, workspace_id, asked, context)
SELECT %s, n.uri, n.key, %s, n.asked, n.context
FROM unnest(%s::text[], %s::uuid[], %s::uuid[], %s::text[]) n(uri, key, asked, context)
ON CONFLICT DO NOTHING
"""
_INHERIT = """
INSERT INTO chunk_context (collection_id, source_uri, key, workspace_id, asked, context)
SELECT k.collection_id, heir.source_uri, k.key, k.workspace_id, k.asked, k.context
FROM document o JOIN document heir ON heir.id = %(heir)s
    JOIN chunk_context k ON k.collection_id = o.collection_id AND k.source_uri = o.source_uri
WHERE o.id = %(old)s
ON CONFLICT DO NOTHING
"""
_FORGET = "DELETE FROM chunk_context WHERE collection_id = %s AND source_uri = ANY(%s)"


@dataclass(frozen=True, slots=True)
class ContextKey:
    """What a context is kept by: its document's URI, and two hashes.

    `key` is of the model, the prompt, the title and the chunk with its headings, so that a change elsewhere in the
    document leaves it as it is. `asked` is of all that the model is given, so that the same text under another URI is
    not asked for again.
    """

    uri: str
    key: UUID
    asked: UUID


class ContextCache:
    """The contexts that were written for the documents of one collection."""

    def __init__(self, database: Database, workspace_id: UUID, collection_id: UUID) -> None:
        self._database = database
        self._workspace_id = workspace_id
        self._collection_id = collection_id

    async def find(self, keys: Sequence[ContextKey]) -> tuple[dict[ContextKey, str], set[ContextKey]]:
        """Those that there are, and which of them stand there for another document only."""
        parameters = {
            "collection": self._collection_id,
            "uris": [one.uri for one in keys],
            "keys": [one.key for one in keys],
            "asked": [one.asked for one in keys],
        }
        async with self._database.connection(self._workspace_id) as connection:
            rows = await (await connection.execute(_FIND, parameters)).fetchall()
        found = {keys[i - 1]: context for i, context, _ in rows}
        return found, {keys[i - 1] for i, _, own in rows if not own}

    async def keep(self, contexts: Mapping[ContextKey, str]) -> None:
        """Keep contexts until their documents are deleted."""
        columns = [[one.uri for one in contexts], [one.key for one in contexts], [one.asked for one in contexts]]
        async with self._database.connection(self._workspace_id) as connection:
            parameters = (self._collection_id, self._workspace_id, *columns, list(contexts.values()))
            await connection.execute(_KEEP, parameters)


async def inherit_contexts(connection: WorkspaceConnection, document_id: UUID, heir_id: UUID) -> None:
    """Keep a document's contexts for the one that gets its chunks too."""
    await connection.execute(_INHERIT, {"old": document_id, "heir": heir_id})


async def forget_contexts(connection: WorkspaceConnection, collection_id: UUID, uris: Sequence[str]) -> None:
    """Delete what was written for documents that are no longer there."""
    await connection.execute(_FORGET, (collection_id, list(uris)))
