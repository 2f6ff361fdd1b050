"""Writers: documents are written side by side, but never while the active generation is being exchanged."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from app.domain.errors import GenerationRetired
from app.domain.index import IndexGeneration
from app.storage.engine import WorkspaceConnection

# An advisory lock until the transaction ends: shared by every write of a document, exclusive for a flip.
_KEY = 0x666F6F74_666C6970  # "footflip"
_SHARED = f"SELECT pg_advisory_xact_lock_shared({_KEY})"
_EXCLUSIVE = f"SELECT pg_advisory_xact_lock({_KEY})"
_LOCK_DOCUMENTS = "SELECT FROM document WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
_STATE = "SELECT state FROM index_generation WHERE id = %s"


async def write_into(connection: WorkspaceConnection, generation: IndexGeneration) -> None:
    """Keep the generation active until this transaction ends. Raises GenerationRetired when it no longer is."""
    await connection.execute(_SHARED)
    row = await (await connection.execute(_STATE, (generation.id,))).fetchone()
    if row is None or row[0] != "active":
        raise GenerationRetired


async def join_writers(connection: WorkspaceConnection) -> None:
    """Hold up exchanges of the active generation until this transaction ends, whichever it is: for deleting."""
    await connection.execute(_SHARED)


async def stop_writers(connection: AsyncConnection[Any]) -> None:
    """Wait for the documents being written, and hold up further ones until this transaction ends."""
    await connection.execute(_EXCLUSIVE)


async def lock_documents(connection: WorkspaceConnection, document_ids: Sequence[UUID]) -> None:
    """Hold up writers of these documents' new versions until this transaction ends."""
    await connection.execute(_LOCK_DOCUMENTS, (list(document_ids),))
