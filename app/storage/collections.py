"""Collections: deleting one with all that is in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from psycopg.errors import ForeignKeyViolation

from app.domain.errors import CollectionNotFound
from app.storage.engine import Database
from app.storage.inventory import Inventory
from app.storage.writers import join_writers

_FIND = "SELECT id FROM collection WHERE name = %s"
# Duplicates first: a document that goes hands its chunks over to those that are left.
_URIS = "SELECT source_uri FROM document WHERE collection_id = %s ORDER BY duplicate_of IS NULL, id"
_DELETE = "DELETE FROM collection WHERE id = %s AND NOT EXISTS (SELECT FROM document WHERE collection_id = %s)"
# Sums over chunks, which are gone; each row that is left counts up to nothing. Batches first: whoever adds them up at
# this moment is waited for, and what it makes of them is seen after that.
_STATISTICS = (
    "DELETE FROM lexical_batch WHERE collection_id = %s",
    "DELETE FROM lexical_term WHERE collection_id = %s",
    "DELETE FROM lexical_total WHERE collection_id = %s",
)
_OF_DOCUMENT = "fk_document_collection_id_collection"


async def delete_collection(database: Database, workspace_id: UUID, name: str) -> int:
    """Delete a collection with its documents, some at a time; returns how many there were. Raises CollectionNotFound.

    Once this returns, nothing finds them. When it is broken off, the same call goes on. Documents that are written
    meanwhile go too; what is written later is refused (`in_collection`).
    """
    async with database.connection(workspace_id) as connection:
        found = await (await connection.execute(_FIND, (name,))).fetchone()
    if found is None:
        raise CollectionNotFound
    (collection_id,) = found
    inventory, deleted = Inventory(database, workspace_id, collection_id), 0
    while True:
        async with database.connection(workspace_id) as connection:
            uris = [uri for (uri,) in await (await connection.execute(_URIS, (collection_id,))).fetchall()]
        deleted += await inventory.delete(uris)
        async with database.connection(workspace_id) as connection:
            await join_writers(connection)
            await connection.execute(_DELETE, (collection_id, collection_id))
            left = await (await connection.execute(_FIND, (name,))).fetchone()
            if left is None or left[0] != collection_id:
                for statement in _STATISTICS:
                    await connection.execute(statement, (collection_id,))
                return deleted


@contextmanager
def in_collection() -> Iterator[None]:
    """Turns a write into a collection that was deleted meanwhile into CollectionNotFound."""
    try:
        yield
    except ForeignKeyViolation as error:
        if error.diag.constraint_name != _OF_DOCUMENT:
            raise
        raise CollectionNotFound(
            "The collection was deleted meanwhile; run the same command again to make it anew."
        ) from error
