"""Index generations: which embedding of the chunks is the one that queries read."""

from psycopg.rows import class_row

from app.domain.errors import EmbedderMismatch
from app.domain.index import IndexGeneration
from app.domain.principal import DEFAULT_WORKSPACE_ID
from app.storage.engine import Database
from app.storage.indexes import create_indexes
from app.storage.writers import stop_writers

_COLUMNS = "id, embedder, dimensions, chunker, state"
_ACTIVE = f"SELECT {_COLUMNS} FROM index_generation WHERE state = 'active'"  # noqa: S608 - constants
# What can be searched: the active one first, then the retired ones that are not purged, the last retired first.
_READABLE = f"""
SELECT {_COLUMNS} FROM index_generation WHERE state IN ('active', 'retired')
ORDER BY state = 'active' DESC, retired_at DESC, id DESC
"""  # noqa: S608 - constants
_INSERT = f"""
INSERT INTO index_generation (embedder, dimensions, chunker, state, activated_at)
SELECT %s, %s, %s, 'active', now() WHERE NOT EXISTS (SELECT FROM index_generation WHERE state = 'active')
RETURNING {_COLUMNS}
"""  # noqa: S608 - constants


async def active_generation(database: Database) -> IndexGeneration | None:
    """The generation that documents are written to; None before the first ingestion."""
    async with database.connection(DEFAULT_WORKSPACE_ID) as connection:
        cursor = connection.cursor(row_factory=class_row(IndexGeneration))
        return await (await cursor.execute(_ACTIVE)).fetchone()


async def readable_generation(database: Database, *, embedder: str, dimensions: int) -> IndexGeneration | None:
    """The generation that questions embedded like this can be asked of; None before the first ingestion.

    The active one, or after a flip to another embedder the last retired one that still fits, until it is purged.
    Raises EmbedderMismatch when none fits.
    """
    async with database.connection(DEFAULT_WORKSPACE_ID) as connection:
        cursor = connection.cursor(row_factory=class_row(IndexGeneration))
        readable = await (await cursor.execute(_READABLE)).fetchall()
    for generation in readable:
        if (generation.embedder, generation.dimensions) == (embedder, dimensions):
            return generation
    if readable:
        require_embedder(readable[0], embedder=embedder, dimensions=dimensions)
    return None


async def ensure_generation(database: Database, *, embedder: str, dimensions: int, chunker: str) -> IndexGeneration:
    """The active generation, made (with its indexes) when there is none.

    Raises EmbedderMismatch when the active one was built with another embedder, dimension or chunker.
    """
    generation = await active_generation(database)
    if generation is None:
        async with database.connection(DEFAULT_WORKSPACE_ID) as connection:
            await stop_writers(connection)  # two first ingestions at once: one of them makes it
            cursor = connection.cursor(row_factory=class_row(IndexGeneration))
            made = await (await cursor.execute(_INSERT, (embedder, dimensions, chunker))).fetchone()
            if made is not None:
                await create_indexes(connection, made)
        generation = await active_generation(database)
    assert generation is not None  # noqa: S101 - made above or by another process, and only ever replaced
    require_embedder(generation, embedder=embedder, dimensions=dimensions)
    require_chunker(generation, chunker)
    return generation


def require_chunker(generation: IndexGeneration, chunker: str) -> None:
    """Raise EmbedderMismatch when documents cut like this do not go into the index."""
    if generation.chunker != chunker:
        strategy, _, tokens = generation.chunker.rpartition("/")
        back = f"Set FOOTNOTE_CHUNK_TOKENS={tokens} again, or run" if chunker.startswith(f"{strategy}/") else "Run"
        raise EmbedderMismatch(
            f"The index was built with the chunker {generation.chunker}, the settings ask for {chunker}. {back} "
            f"`footnote reindex --chunker {chunker}`, which cuts the stored documents anew while questions are "
            "answered."
        )


def require_embedder(generation: IndexGeneration, *, embedder: str, dimensions: int) -> None:
    """Raise EmbedderMismatch when vectors of this embedder cannot be compared with the index."""
    if (generation.embedder, generation.dimensions) != (embedder, dimensions):
        raise EmbedderMismatch(
            f"The index was built with {generation.embedder} ({generation.dimensions} dimensions), the settings name "
            f"{embedder} ({dimensions} dimensions); their vectors cannot be compared. Set FOOTNOTE_EMBEDDER (and "
            "FOOTNOTE_EMBEDDER_DIMENSIONS, FOOTNOTE_EMBEDDER_PASSAGE_PREFIX) back, or run `footnote reindex`, which "
            "builds an index with the embedder of the settings from the stored documents. Nothing was changed."
        )
