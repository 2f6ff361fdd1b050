"""Principal: who is asking, and whose data they may see."""

from dataclasses import dataclass
from uuid import UUID

DEFAULT_WORKSPACE_ID = UUID("00000000-0000-7000-8000-000000000001")
"""The workspace that the first migration creates; a single-tenant installation never needs another."""


@dataclass(frozen=True, slots=True)
class Principal:
    """One caller. Every query runs with `workspace_id` set, and row-level security holds it there."""

    workspace_id: UUID = DEFAULT_WORKSPACE_ID
    name: str = "local"
