"""Building: fills an index generation from the stored versions; the data itself tells how far it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec
from psycopg.rows import class_row

from app.domain.document import Chunk, Heading, ParsedDocument
from app.domain.index import IndexGeneration
from app.domain.ports import Vectors
from app.storage.chunks import ChunkOwner, copy_chunks, copy_vectors
from app.storage.engine import Database, WorkspaceConnection
from app.storage.lexemes import index_words
from app.storage.writers import lock_documents

_WHITE = "".join(character for character in map(chr, range(0x3001)) if character.isspace())
# For each current version: its chunks of the generation's chunker, and those of them without a vector. A version is
# complete when it has chunks and each has its vector, or when there is nothing in it to cut.
_STATE = """
SELECT v.id, s.chunks, s.missing > 0 OR (s.chunks = 0 AND btrim(v.text, %(white)s) <> '') AS pending
FROM document_version v CROSS JOIN LATERAL (
    SELECT count(c.id) AS chunks, count(c.id) FILTER (WHERE e.chunk_id IS NULL) AS missing
    FROM chunk c LEFT JOIN chunk_embedding e ON e.chunk_id = c.id AND e.generation_id = %(generation)s
    WHERE c.document_version_id = v.id AND c.chunker = %(chunker)s
) s
WHERE v.valid_to IS NULL
"""
_PENDING = f"""
SELECT id FROM ({_STATE} AND v.id > %(after)s) state WHERE pending ORDER BY id LIMIT %(limit)s
"""  # noqa: S608 - constants
_COUNT = f"""
SELECT count(*), count(*) FILTER (WHERE pending), coalesce(sum(chunks), 0)::bigint FROM ({_STATE}) state
"""  # noqa: S608 - constants
_VERSIONS = """
SELECT v.id AS version_id, v.document_id, o.collection_id, o.source_uri AS uri, v.title, v.media_type, v.metadata,
    v.text, v.headings, v.page_starts
FROM document_version v JOIN document o ON o.id = v.document_id
WHERE v.id = ANY(%s) ORDER BY v.id
"""
_CHUNKS = """
SELECT c.document_version_id, c.id, c.ordinal, c.heading_path, c.char_start, c.char_end, c.page, c.token_count, c.text,
    c.space_after, c.context
FROM chunk c WHERE c.document_version_id = ANY(%s) AND c.chunker = %s ORDER BY c.document_version_id, c.ordinal
"""
_STILL_CURRENT = "SELECT id FROM document_version WHERE id = ANY(%s) AND valid_to IS NULL"
_CONTEXTS = "SELECT id, context FROM chunk WHERE id = ANY(%s)"
_EMBEDDED = "SELECT chunk_id FROM chunk_embedding WHERE generation_id = %s AND chunk_id = ANY(%s)"
FIRST = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a generation is: current versions, those not complete, and the chunks of its chunker."""

    documents: int
    pending: int
    chunks: int


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version as stored; `headings` and `page_starts` are None when it was stored before they were kept."""

    version_id: UUID
    document_id: UUID
    collection_id: UUID
    uri: str
    title: str
    media_type: str
    metadata: dict[str, object]
    text: str
    headings: list[dict[str, object]] | None
    page_starts: list[int] | None

    def parsed(self) -> ParsedDocument | None:
        """The document as it was parsed; None when its structure was not kept."""
        if self.headings is None or self.page_starts is None:
            return None
        return ParsedDocument(
            text=self.text,
            title=self.title,
            media_type=self.media_type,
            headings=msgspec.convert(self.headings, tuple[Heading, ...]),
            page_starts=tuple(self.page_starts),
            metadata=self.metadata,
        )


@dataclass(frozen=True, slots=True)
class Filled:
    """A version's chunks with their vectors, to be written; `ids` None when the chunks are new."""

    version: StoredVersion
    chunks: Sequence[Chunk]
    ids: Sequence[UUID] | None
    vectors: Vectors


async def total_progress(database: Database, generation: IndexGeneration, workspaces: Sequence[UUID]) -> Progress:
    """How far a generation is, over several workspaces."""
    building = Building(database, generation)
    parts = [await building.progress(workspace_id) for workspace_id in workspaces]
    return Progress(sum(p.documents for p in parts), sum(p.pending for p in parts), sum(p.chunks for p in parts))


class Building:
    """Reads what a generation lacks and writes it, one workspace at a time."""

    def __init__(self, database: Database, generation: IndexGeneration) -> None:
        self._database = database
        self._generation = generation
        self._parameters = {"generation": generation.id, "chunker": generation.chunker, "white": _WHITE}

    async def progress(self, workspace_id: UUID) -> Progress:
        """How far the generation is in a workspace."""
        async with self._database.connection(workspace_id) as connection:
            row = await (await connection.execute(_COUNT, self._parameters)).fetchone()
        assert row is not None  # noqa: S101 - an aggregate
        return Progress(*row)

    async def pending(self, workspace_id: UUID, *, after: UUID, limit: int) -> list[UUID]:
        """Current versions that are not complete, by id."""
        async with self._database.connection(workspace_id) as connection:
            cursor = await connection.execute(_PENDING, {**self._parameters, "after": after, "limit": limit})
            return [row[0] for row in await cursor.fetchall()]

    async def versions(self, workspace_id: UUID, ids: Sequence[UUID]) -> list[StoredVersion]:
        """Versions with their texts, by id; those that are gone are left out."""
        async with self._database.connection(workspace_id) as connection:
            cursor = connection.cursor(row_factory=class_row(StoredVersion))
            return await (await cursor.execute(_VERSIONS, (list(ids),))).fetchall()

    async def chunks(
        self, workspace_id: UUID, ids: Sequence[UUID], chunker: str
    ) -> dict[UUID, list[tuple[UUID, Chunk]]]:
        """The stored chunks of versions that one chunker made, in order, with their ids."""
        found: dict[UUID, list[tuple[UUID, Chunk]]] = {}
        async with self._database.connection(workspace_id) as connection:
            cursor = await connection.execute(_CHUNKS, (list(ids), chunker))
            for version_id, chunk_id, ordinal, path, *rest in await cursor.fetchall():
                found.setdefault(version_id, []).append((chunk_id, Chunk(ordinal, tuple(path), *rest)))
        return found

    async def write(self, workspace_id: UUID, batch: Sequence[Filled]) -> None:
        """Write versions into the generation, in one transaction; those that were replaced meanwhile are left out.

        The documents are locked first, as writers of new versions do, so that the two wait for each other.
        """
        async with self._database.connection(workspace_id) as connection:
            await lock_documents(connection, [filled.version.document_id for filled in batch])
            cursor = await connection.execute(_STILL_CURRENT, ([filled.version.version_id for filled in batch],))
            current = {row[0] for row in await cursor.fetchall()}
            written = list[UUID]()
            for filled in batch:
                if filled.version.version_id in current:
                    written += await self._write(connection, workspace_id, filled)
            await index_words(connection, self._generation.id, written)

    async def _write(self, connection: WorkspaceConnection, workspace_id: UUID, filled: Filled) -> list[UUID]:
        """Write chunks and vectors; the ids of the chunks that are written."""
        version, generation = filled.version, self._generation
        owner = ChunkOwner(
            workspace_id,
            version.collection_id,
            version.document_id,
            version.version_id,
            uri=version.uri,
            title=version.title,
            media_type=version.media_type,
            metadata=version.metadata,
        )
        ids, left_out = filled.ids, set[UUID]()
        if ids is None:
            ids = await copy_chunks(connection, generation.chunker, [(owner, chunk) for chunk in filled.chunks])
        else:
            cursor = await connection.execute(_EMBEDDED, (generation.id, list(ids)))
            left_out = {row[0] for row in await cursor.fetchall()}
            # a chunk that got its context, or lost it, since it was read: the next pass takes it as it is now
            contexts = dict(await (await connection.execute(_CONTEXTS, (list(ids),))).fetchall())
            left_out |= {i for i, c in zip(ids, filled.chunks, strict=True) if contexts.get(i) != c.context}
        rows = [
            (chunk_id, owner, chunk, vector)
            for chunk_id, chunk, vector in zip(ids, filled.chunks, filled.vectors, strict=True)
            if chunk_id not in left_out
        ]
        await copy_vectors(connection, generation.id, rows)
        return [row[0] for row in rows]
