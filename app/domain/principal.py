"""Principal: who is asking, and whose data they may see."""

from dataclasses import dataclass
from uuid import UUID

DEFAULT_WORKSPACE_ID = UUID("00000000-0000-7000-8000-000000000001")
"""The workspace that the first migration creates; a single-tenant installation never needs another."""


@dataclass(frozen=True, slots=True)
class Principal:
    """One caller. Every query runs with `workspace_id` set, and row-level security holds it there.

    A visitor may only ask, about one `collection`; None: everything may be done.
    """

    workspace_id: UUID = DEFAULT_WORKSPACE_ID
    name: str = "local"
    collection: str | None = None

    def may_see(self, collection: str | None) -> bool:
        """Whether what belongs to this collection, None for all of them, is theirs to see."""
        return self.collection in {None, collection}
