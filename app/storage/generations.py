"""Index generations: which embedding of the chunks is the one that queries read."""

from psycopg import sql
from psycopg.rows import class_row

from app.domain.errors import EmbedderMismatch
from app.domain.index import IndexGeneration
from app.domain.principal import DEFAULT_WORKSPACE_ID
from app.storage.engine import Database

_ACTIVE = "SELECT id, embedder, dimensions, chunker, state FROM index_generation WHERE state = 'active'"
_INSERT = """
INSERT INTO index_generation (embedder, dimensions, chunker, state, activated_at)
VALUES (%s, %s, %s, 'active', now())
ON CONFLICT DO NOTHING
RETURNING id
"""
# halfvec has no fixed length in the table, so that generations of any dimension share it: the index casts.
_HNSW = """
CREATE INDEX {name} ON chunk_embedding USING hnsw ((embedding::halfvec({dimensions})) halfvec_cosine_ops)
WHERE generation_id = {id}
"""
_LEXICAL = """
CREATE INDEX {name} ON chunk_lexeme USING gin (terms) WITH (fastupdate = off) WHERE generation_id = {id}
"""


async def active_generation(database: Database) -> IndexGeneration | None:
    """The generation that queries read; None before the first ingestion."""
    async with database.connection(DEFAULT_WORKSPACE_ID) as connection:
        cursor = connection.cursor(row_factory=class_row(IndexGeneration))
        return await (await cursor.execute(_ACTIVE)).fetchone()


async def ensure_generation(database: Database, *, embedder: str, dimensions: int, chunker: str) -> IndexGeneration:
    """The active generation, made (with its HNSW index) when there is none.

    Raises EmbedderMismatch when the active one was built with another embedder, dimension or chunker.
    """
    async with database.connection(DEFAULT_WORKSPACE_ID) as connection:
        made = await (await connection.execute(_INSERT, (embedder, dimensions, chunker))).fetchone()
        if made:
            await connection.execute(
                sql.SQL(_HNSW).format(
                    name=sql.Identifier(f"hnsw_{made[0]}"), dimensions=sql.Literal(dimensions), id=sql.Literal(made[0])
                )
            )
            await connection.execute(
                sql.SQL(_LEXICAL).format(name=sql.Identifier(f"lexical_{made[0]}"), id=sql.Literal(made[0]))
            )
    generation = await active_generation(database)
    assert generation is not None  # noqa: S101 - made above or by another process, and only ever replaced
    require_embedder(generation, embedder=embedder, dimensions=dimensions)
    if generation.chunker != chunker:
        raise EmbedderMismatch(
            f"The index was built with the chunker {generation.chunker}, the settings ask for {chunker}. Set "
            f"FOOTNOTE_CHUNK_TOKENS={generation.chunker.rpartition('/')[2]} again, or ingest into another data folder "
            "(--data-dir) or database."
        )
    return generation


def require_embedder(generation: IndexGeneration, *, embedder: str, dimensions: int) -> None:
    """Raise EmbedderMismatch when vectors of this embedder cannot be compared with the index."""
    if (generation.embedder, generation.dimensions) != (embedder, dimensions):
        raise EmbedderMismatch(
            f"The index was built with {generation.embedder} ({generation.dimensions} dimensions), the settings name "
            f"{embedder} ({dimensions} dimensions); their vectors cannot be compared. Set FOOTNOTE_EMBEDDER (and "
            "FOOTNOTE_EMBEDDER_DIMENSIONS) back, or ingest into another data folder (--data-dir) or database. "
            "Nothing was changed."
        )
