"""Contexts: which collections have them, which stored chunks lack one, and their way into chunks and vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from pgvector import HalfVector
from psycopg.rows import class_row

from app.domain.document import Chunk
from app.domain.errors import ContextsRefused
from app.domain.index import IndexGeneration
from app.domain.ports import Vectors
from app.storage.engine import Database, WorkspaceConnection
from app.storage.writers import lock_documents, write_into

_ENABLED = "SELECT contexts FROM collection WHERE id = %s"
_ENABLE = "UPDATE collection SET contexts = %s WHERE id = %s"
_OF_VERSION = """
FROM chunk c JOIN chunk_embedding e ON e.chunk_id = c.id AND e.generation_id = %(generation)s
WHERE c.document_version_id = v.id AND c.chunker = %(chunker)s
"""
_CURRENT = """
FROM document_version v JOIN document o ON o.id = v.document_id
"""
_STATE = f"""
SELECT coalesce(sum(s.chunks), 0)::bigint AS chunks, coalesce(sum(s.lacking), 0)::bigint AS lacking,
    coalesce(sum(s.empty), 0)::bigint AS empty
{_CURRENT} CROSS JOIN LATERAL (
    SELECT count(*) AS chunks, count(*) FILTER (WHERE c.context IS NULL) AS lacking,
        count(*) FILTER (WHERE c.context = '') AS empty {_OF_VERSION}
) s
WHERE o.collection_id = %(collection)s AND v.valid_to IS NULL
"""
_PENDING = f"""
SELECT v.id AS version_id, v.document_id, o.source_uri AS uri, v.title
{_CURRENT}
WHERE o.collection_id = %(collection)s AND v.valid_to IS NULL AND v.id > %(after)s
    AND EXISTS (SELECT {_OF_VERSION} AND (c.context IS NULL) = %(lacking)s)
ORDER BY v.id LIMIT %(limit)s
"""
_ORIGINALS = """
SELECT text_key FROM document
WHERE collection_id = %s AND text_key = ANY(%s) AND duplicate_of IS NULL AND source_uri <> ALL(%s)
"""
_SHARING = "SELECT id, state FROM index_generation WHERE chunker = %s AND id <> %s ORDER BY id LIMIT 1"
_WRITE = "UPDATE chunk SET context = %s, text_hash = %s WHERE id = %s"
_EMBED = "UPDATE chunk_embedding SET embedding = %s WHERE chunk_id = %s AND generation_id = %s"


@dataclass(frozen=True, slots=True)
class ContextState:
    """A collection's chunks in the active generation: all, those that lack a context, those whose context is empty."""

    chunks: int
    lacking: int
    empty: int


@dataclass(frozen=True, slots=True)
class ContextVersion:
    """A current version of a document some chunks of which are to get a context, or to lose it."""

    version_id: UUID
    document_id: UUID
    uri: str
    title: str


@dataclass(frozen=True, slots=True)
class ContextWrite:
    """A stored chunk with its context (None: without one) and its vector, where that becomes another one."""

    document_id: UUID
    chunk_id: UUID
    chunk: Chunk
    vector: Vectors | None


class ContextStore:
    """Reads and writes the contexts of one collection's chunks, as one generation has these."""

    def __init__(
        self, database: Database, workspace_id: UUID, collection_id: UUID, generation: IndexGeneration
    ) -> None:
        self._database = database
        self._workspace_id = workspace_id
        self._generation = generation
        self._parameters = {
            "collection": collection_id,
            "generation": generation.id,
            "chunker": generation.chunker,
        }

    async def state(self) -> ContextState:
        """How many chunks there are, and how many without a context."""
        async with self._database.connection(self._workspace_id) as connection:
            cursor = connection.cursor(row_factory=class_row(ContextState))
            found = await (await cursor.execute(_STATE, self._parameters)).fetchone()
        assert found is not None  # noqa: S101 - an aggregate
        return found

    async def pending(self, *, after: UUID, limit: int, lacking: bool) -> list[ContextVersion]:
        """Current versions with chunks that lack a context, or else that have one; by id."""
        parameters = {**self._parameters, "after": after, "limit": limit, "lacking": lacking}
        async with self._database.connection(self._workspace_id) as connection:
            cursor = connection.cursor(row_factory=class_row(ContextVersion))
            return await (await cursor.execute(_PENDING, parameters)).fetchall()

    async def require_alone(self) -> None:
        """Raise ContextsRefused when another generation has vectors of the same chunks."""
        async with self._database.connection(self._workspace_id) as connection:
            await self._require_alone(connection)

    async def write(self, batch: Sequence[ContextWrite]) -> None:
        """Write contexts and vectors, in one transaction; chunks that are gone are left out.

        Documents are locked first, as writers of new versions do. Raises ContextsRefused, GenerationRetired.
        """
        async with self._database.connection(self._workspace_id) as connection:
            await write_into(connection, self._generation)
            await self._require_alone(connection)
            await lock_documents(connection, [one.document_id for one in batch])
            cursor = connection.cursor()
            await cursor.executemany(_WRITE, [(one.chunk.context, one.chunk.text_hash, one.chunk_id) for one in batch])
            vectors = [
                (HalfVector(one.vector), one.chunk_id, self._generation.id) for one in batch if one.vector is not None
            ]
            if vectors:
                await cursor.executemany(_EMBED, vectors)

    async def _require_alone(self, connection: WorkspaceConnection) -> None:
        cursor = await connection.execute(_SHARING, (self._generation.chunker, self._generation.id))
        other = await cursor.fetchone()
        if other is None:
            return
        way_out = {
            "building": "Let `footnote reindex` end first, or drop it with `footnote reindex --abandon`.",
            "retired": "Drop it with `footnote reindex --purge` once every server runs with the new embedder.",
        }
        raise ContextsRefused(
            f"Generation {other[0]} ({other[1]}) has vectors of the same chunks, which would no longer fit. "
            f"{way_out[other[1]]}"
        )


async def contexts_enabled(database: Database, workspace_id: UUID, collection_id: UUID) -> bool:
    """Whether new chunks of a collection get a context."""
    async with database.connection(workspace_id) as connection:
        row = await (await connection.execute(_ENABLED, (collection_id,))).fetchone()
    return bool(row and row[0])


async def enable_contexts(database: Database, workspace_id: UUID, collection_id: UUID, *, on: bool) -> None:
    """Let new chunks of a collection get a context, or no longer; those that are stored stay as they are."""
    async with database.connection(workspace_id) as connection:
        await connection.execute(_ENABLE, (on, collection_id))


async def stored_keys(
    database: Database, workspace_id: UUID, collection_id: UUID, keys: Sequence[UUID], *, besides: Sequence[str]
) -> set[UUID]:
    """Which text keys documents of a collection have that stand for themselves, those at the URIs `besides` apart."""
    async with database.connection(workspace_id) as connection:
        cursor = await connection.execute(_ORIGINALS, (collection_id, list(keys), list(besides)))
        return {row[0] for row in await cursor.fetchall()}
