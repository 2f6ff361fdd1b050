"""Job: work that was asked for over the API and is done by a worker."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from app.domain.document import MEMBER

UPLOADED = "upload:"
"""What the URIs of uploaded files begin with."""
DELETED = "The collection was deleted before this was in it; `footnote jobs --retry ID` makes it anew, with this file."
"""The problem of a job whose collection was deleted while it waited or ran."""


class JobState(StrEnum):
    """Where a job stands; `done` and `failed` are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Job:
    """An uploaded file on its way into a collection.

    `attempts` were begun, the present one included. `document_id` and `chunks` are known once it is done, and stay when
    the document is re-ingested; `problem` says why it failed, or why it is tried again.
    """

    id: UUID
    state: JobState
    collection: str
    name: str
    size_bytes: int
    attempts: int
    document_id: UUID | None
    chunks: int | None
    problem: str | None
    created_at: datetime
    updated_at: datetime

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.state in {JobState.DONE, JobState.FAILED}


@dataclass(frozen=True, slots=True)
class ScheduledSync:
    """A sync of a source that was due and failed because of `problem`.

    `queued`: it waits for another attempt after so many; `failed`: it was given up until it is due again.
    """

    source: str
    collection: str
    state: JobState
    attempts: int
    problem: str
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it was received: its bytes' SHA-256, and what the client says of it."""

    collection: str
    name: str
    size_bytes: int
    sha256: bytes
    title: str | None = None
    metadata: dict[str, object] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        """The document's identity within its collection: another file of that name is its next version."""
        return f"{UPLOADED}{self.name}"


def uploaded_name(uri: str) -> str | None:
    """The name of the uploaded file that a document at `uri` was made of or found in; None when it was not uploaded."""
    return uri.removeprefix(UPLOADED).partition(MEMBER)[0] if uri.startswith(UPLOADED) else None
