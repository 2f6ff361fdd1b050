"""Exchange: generations come, take over, step back and go."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row

from app.domain.errors import ReindexRefused
from app.domain.index import IndexGeneration
from app.domain.principal import DEFAULT_WORKSPACE_ID
from app.storage.engine import Database, WorkspaceConnection
from app.storage.indexes import drop_orphans
from app.storage.lexemes import forget_statistics
from app.storage.writers import stop_writers

_COLUMNS = "id, embedder, dimensions, chunker, state"
_BUILDING = f"SELECT {_COLUMNS} FROM index_generation WHERE state = 'building'"  # noqa: S608 - constants
_LAST_RETIRED = f"""
SELECT {_COLUMNS} FROM index_generation WHERE state = 'retired' ORDER BY retired_at DESC, id DESC LIMIT 1
"""  # noqa: S608 - constants
_INSERT = f"""
INSERT INTO index_generation (embedder, dimensions, chunker, state) VALUES (%s, %s, %s, 'building') RETURNING {_COLUMNS}
"""  # noqa: S608 - constants
# Both rows change in one statement, so that every query sees exactly one active generation (migration 0004).
_FLIP = """
UPDATE index_generation SET
    state = CASE WHEN id = %(new)s THEN 'active' ELSE 'retired' END,
    activated_at = CASE WHEN id = %(new)s THEN now() ELSE activated_at END,
    retired_at = CASE WHEN id = %(new)s THEN NULL ELSE now() END
WHERE id = %(new)s OR state = 'active'
"""
_PURGEABLE = f"""
SELECT {_COLUMNS} FROM index_generation
WHERE state = 'retired' AND retired_at <= now() - make_interval(secs => %s) ORDER BY id
"""  # noqa: S608 - constants
_DELETE = "DELETE FROM index_generation WHERE id = %s AND state = %s RETURNING id"
_UNUSED_CHUNKS = "DELETE FROM chunk WHERE NOT chunker = ANY(ARRAY(SELECT chunker FROM index_generation))"
_OVERVIEW = """
SELECT g.id, g.embedder, g.dimensions, g.chunker, g.state, g.created_at, g.activated_at, g.retired_at,
    (SELECT count(*) FROM chunk_embedding e WHERE e.generation_id = g.id) AS chunks,
    (SELECT CASE WHEN NOT bool_and(indisvalid) THEN false WHEN count(*) = 2 THEN true END FROM pg_index
    WHERE indexrelid IN (to_regclass('hnsw_' || g.id), to_regclass('lexical_' || g.id))) AS indexed
FROM index_generation g ORDER BY g.id
"""


@dataclass(frozen=True, slots=True)
class GenerationOverview:
    """A generation with how much is in it; `indexed` None: it has no indexes yet, False: a build was cut off."""

    id: int
    embedder: str
    dimensions: int
    chunker: str
    state: str
    created_at: datetime
    activated_at: datetime | None
    retired_at: datetime | None
    chunks: int
    indexed: bool | None

    @property
    def generation(self) -> IndexGeneration:
        """Its identity."""
        return IndexGeneration(self.id, self.embedder, self.dimensions, self.chunker, self.state)


async def overview(database: Database) -> list[GenerationOverview]:
    """Every generation, the oldest first."""
    async with database.connection(DEFAULT_WORKSPACE_ID) as connection:
        cursor = connection.cursor(row_factory=class_row(GenerationOverview))
        return await (await cursor.execute(_OVERVIEW)).fetchall()


async def building_generation(database: Database) -> IndexGeneration | None:
    """The generation that is not finished."""
    async with database.connection(DEFAULT_WORKSPACE_ID) as connection:
        return await _one(connection, _BUILDING)


async def begin_building(database: Database, *, embedder: str, dimensions: int, chunker: str) -> IndexGeneration:
    """The unfinished generation of this description, made when there is none; under the maintenance lock.

    Raises ReindexRefused when another one is unfinished.
    """
    async with database.connection(DEFAULT_WORKSPACE_ID) as connection:
        building = await _one(connection, _BUILDING)
        if building is None:
            building = await _one(connection, _INSERT, (embedder, dimensions, chunker))
            assert building is not None  # noqa: S101 - the statement returns its row
    if (building.embedder, building.dimensions, building.chunker) != (embedder, dimensions, chunker):
        raise ReindexRefused(
            f"A generation with {building.embedder} ({building.dimensions} dimensions, chunks {building.chunker}) is "
            "unfinished. Run `footnote reindex` for that one again to go on, `footnote reindex --status` to see how "
            "far it is, or `footnote reindex --abandon` to drop it."
        )
    return building


async def flip(connection: WorkspaceConnection, generation: IndexGeneration) -> None:
    """Make a generation the active one and retire that which was; commits with the transaction.

    Raises ReindexRefused when it is gone. Writers must be stopped in the same transaction.
    """
    updated = await connection.execute(_FLIP, {"new": generation.id})
    if updated.rowcount != 2:
        raise ReindexRefused(f"Generation {generation.id} is gone; `footnote reindex --status` shows what there is.")


async def roll_back(database: Database) -> IndexGeneration:
    """Make the generation that was retired last the active one again. Raises ReindexRefused when there is none."""
    async with database.connection(DEFAULT_WORKSPACE_ID) as connection:
        await stop_writers(connection)
        previous = await _one(connection, _LAST_RETIRED)
        if previous is None:
            raise ReindexRefused("There is no retired generation to go back to; it was purged, or there never was one.")
        await flip(connection, previous)
    return previous


async def purgeable(database: Database, *, age_s: float) -> list[IndexGeneration]:
    """Generations that have been retired for at least `age_s` seconds."""
    async with database.connection(DEFAULT_WORKSPACE_ID) as connection:
        cursor = connection.cursor(row_factory=class_row(IndexGeneration))
        return await (await cursor.execute(_PURGEABLE, (age_s,))).fetchall()


async def drop_generation(
    database: Database, alone: AsyncConnection[Any], workspaces: list[UUID], generation: IndexGeneration
) -> bool:
    """Drop a generation with its vectors, words, statistics, indexes, and the chunks that no other one uses.

    Writers of documents wait meanwhile: the rows of two generations hang on the same chunks. `alone` is the connection
    that holds the maintenance lock. False when its state has changed meanwhile: then nothing is dropped. When this is
    interrupted, the next call finishes it.
    """
    async with database.connection(DEFAULT_WORKSPACE_ID) as connection:
        await stop_writers(connection)
        deleted = await (await connection.execute(_DELETE, (generation.id, generation.state))).fetchone()
    await drop_leftovers(database, alone, workspaces)
    return deleted is not None


async def drop_leftovers(database: Database, alone: AsyncConnection[Any], workspaces: list[UUID]) -> None:
    """Drop indexes, statistics and chunks that no generation uses: those of a dropped one."""
    await drop_orphans(alone)
    async with database.connection(DEFAULT_WORKSPACE_ID) as connection:
        await forget_statistics(connection)
    for workspace_id in workspaces:
        async with database.connection(workspace_id) as connection:
            await stop_writers(connection)
            await connection.execute(_UNUSED_CHUNKS)


async def _one(
    connection: WorkspaceConnection, statement: str, parameters: tuple[object, ...] = ()
) -> IndexGeneration | None:
    cursor = connection.cursor(row_factory=class_row(IndexGeneration))
    return await (await cursor.execute(statement, parameters)).fetchone()
