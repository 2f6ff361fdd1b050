"""Chunks: rows of chunks and their vectors, written by binary COPY."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pgvector import HalfVector

from app.domain.document import Chunk
from app.domain.ports import Vectors
from app.storage import models as m
from app.storage.engine import WorkspaceConnection


@dataclass(frozen=True, slots=True)
class ChunkOwner:
    """Whose chunks they are."""

    workspace_id: UUID
    collection_id: UUID
    document_id: UUID
    version_id: UUID


# COPY FROM refuses tables with row-level security, so the rows go through a temporary table of the session.
_STAGING = "CREATE TEMP TABLE IF NOT EXISTS chunk_staging (LIKE chunk INCLUDING DEFAULTS) ON COMMIT DELETE ROWS"
_COLUMNS = (
    "id, workspace_id, collection_id, document_id, document_version_id, chunker, ordinal, heading_path, "
    "char_start, char_end, page, token_count, text"
)
_TYPES = (*["uuid"] * 5, "text", "int4", "text[]", "int4", "int4", "int4", "int4", "text")


async def copy_chunks(
    connection: WorkspaceConnection, owner: ChunkOwner, chunker: str, chunks: Sequence[Chunk]
) -> list[UUID]:
    """Write the chunks of a version; returns their ids in order. Several calls may share a transaction."""
    ids = [m.new_id() for _ in chunks]
    await connection.execute(_STAGING)
    await connection.execute("DELETE FROM chunk_staging")
    async with connection.cursor().copy(f"COPY chunk_staging ({_COLUMNS}) FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(_TYPES)
        for chunk_id, c in zip(ids, chunks, strict=True):
            row: tuple[Any, ...] = (chunk_id, owner.workspace_id, owner.collection_id, owner.document_id)
            row = (*row, owner.version_id, chunker, c.ordinal, list(c.heading_path))
            await copy.write_row((*row, c.char_start, c.char_end, c.page, c.token_count, c.text))
    await connection.execute(f"INSERT INTO chunk ({_COLUMNS}) SELECT {_COLUMNS} FROM chunk_staging")  # noqa: S608 - constants
    return ids


async def copy_vectors(
    connection: WorkspaceConnection, ids: Sequence[UUID], collection_id: UUID, generation_id: int, vectors: Vectors
) -> None:
    """Write the chunks' vectors of one generation; `vectors[i]` belongs to `ids[i]`."""
    async with connection.cursor().copy(
        "COPY chunk_embedding (chunk_id, generation_id, collection_id, embedding) FROM STDIN (FORMAT binary)"
    ) as copy:
        copy.set_types(["uuid", "int4", "uuid", "halfvec"])
        for chunk_id, vector in zip(ids, vectors, strict=True):
            await copy.write_row((chunk_id, generation_id, collection_id, HalfVector(vector)))
