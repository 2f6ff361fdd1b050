"""Metadata fields: which fields the documents of a workspace have, and the types that these have held."""

from collections.abc import Iterable, Mapping
from uuid import UUID

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import tuple_row
from psycopg.types.json import Jsonb

from app.domain.errors import InvalidFilter
from app.domain.filter import Filter, Kind
from app.domain.filter_fields import check_filter, kinds_of
from app.storage.engine import Database

# Reads first and writes only what is new. By name, so that two writers take their locks in one order.
_REMEMBER = """
INSERT INTO metadata_field AS known (workspace_id, name, kinds)
SELECT %(workspace_id)s, found.name, ARRAY(SELECT jsonb_array_elements_text(found.kinds))
FROM jsonb_each(%(fields)s::jsonb) found(name, kinds)
WHERE NOT EXISTS (
    SELECT FROM metadata_field
    WHERE workspace_id = %(workspace_id)s AND name = found.name
        AND kinds @> ARRAY(SELECT jsonb_array_elements_text(found.kinds))
)
ORDER BY found.name COLLATE "C"
ON CONFLICT (workspace_id, name) DO UPDATE
    SET kinds = ARRAY(SELECT DISTINCT unnest(known.kinds || excluded.kinds) ORDER BY 1)
"""


async def remember_fields(
    connection: AsyncConnection[object], workspace_id: UUID, metadata: Iterable[Mapping[str, object]]
) -> None:
    """Add documents' metadata to the fields that a filter can name; writes nothing when nothing is new.

    Call it at the end of a transaction: others that bring the same new fields wait for it. A field stays known after
    its last document is gone.
    """
    found: dict[str, frozenset[Kind]] = {}
    for one in metadata:
        stored = msgspec.json.decode(msgspec.json.encode(one))
        found |= {name: found.get(name, frozenset()) | kinds for name, kinds in kinds_of(stored).items()}
    if found:
        fields = Jsonb({name: sorted(kinds) for name, kinds in found.items()})
        await connection.execute(_REMEMBER, {"workspace_id": workspace_id, "fields": fields})


class MetadataFields:
    """Checks filters against the fields there are. Fields never go away, so what passed once is not read again."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[UUID, dict[str, frozenset[str]]] = {}

    async def require(self, workspace_id: UUID, wanted: Filter | None) -> None:
        """Raise InvalidFilter when the filter names a field that no document has, or a type that it never holds."""
        if wanted is None:
            return
        try:
            check_filter(wanted, self._known.get(workspace_id, {}))
        except InvalidFilter:
            self._known[workspace_id] = await self._read(workspace_id)
            check_filter(wanted, self._known[workspace_id])

    async def _read(self, workspace_id: UUID) -> dict[str, frozenset[str]]:
        async with self._database.connection(workspace_id) as connection:
            cursor = connection.cursor(row_factory=tuple_row)
            await cursor.execute("SELECT name, kinds FROM metadata_field WHERE workspace_id = %s", (workspace_id,))
            return {name: frozenset(kinds) for name, kinds in await cursor.fetchall()}
