"""Run: one question being answered, as a sequence of events.

A run's events are numbered 1, 2, 3 … and written to one log; every client and dialect is a reader of that log.
The last event is one of `run.completed`, `run.cancelled`, `run.failed`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Literal, TypeAlias
from uuid import UUID

import msgspec

from app.domain.passage import Passage

FinishReason = Literal["stop", "length", "refused", "clarify"]
Verdict = Literal["supported", "partial", "unsupported"]


class RunState(StrEnum):
    """Where a run stands; all but `running` are final."""

    RUNNING = "running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong, as in RFC 9457: a stable `code`, a short `title`, and a `detail` that says what to do."""

    code: str
    title: str
    detail: str


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The run exists; what follows answers `message_id`, the assistant's message."""

    type: ClassVar[str] = "run.started"
    run_id: str
    conversation_id: str
    message_id: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class RunQueued:
    """All places are taken; the answer begins when one is free. `position` counts from 1, as it was when asked."""

    type: ClassVar[str] = "run.queued"
    position: int


@dataclass(frozen=True, slots=True)
class RetrievalCompleted:
    """The passages that the answer may rest on, best first.

    `reranked`: whether a reranker ordered them; left out when none is set.
    """

    type: ClassVar[str] = "retrieval.completed"
    passages: tuple[Passage, ...]
    reranked: bool | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the answer; the answer is all deltas joined."""

    type: ClassVar[str] = "text.delta"
    text: str


@dataclass(frozen=True, slots=True)
class TextRewind:
    """Forget the answer's text from code point `to` on; what follows continues there."""

    type: ClassVar[str] = "text.rewind"
    to: int


@dataclass(frozen=True, slots=True)
class Citation:
    """One sentence of the answer and a span of a passage that supports it; one that rests on several has as many.

    `index` is the footnote's number (1-based by first use of a span; 0 on an unsupported sentence, which has no
    footnote: its passage fields are empty and its offsets 0). Sentence offsets are code points of the answer,
    `char_start`/`char_end` code points of the document version; `quote` is that span's text; `score` in 0..1.
    """

    type: ClassVar[str] = "citation"
    index: int
    sentence_start: int
    sentence_end: int
    passage_id: str
    document_id: str
    char_start: int
    char_end: int
    quote: str
    score: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that the language model read and wrote for this answer."""

    type: ClassVar[str] = "usage"
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class RunCompleted:
    """The answer is whole and stored."""

    type: ClassVar[str] = "run.completed"
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True)
class RunCancelled:
    """The run was stopped; the partial answer is stored."""

    type: ClassVar[str] = "run.cancelled"


@dataclass(frozen=True, slots=True)
class RunFailed:
    """The run could not be finished; what was written so far is stored."""

    type: ClassVar[str] = "run.failed"
    problem: Problem


RunEvent: TypeAlias = (
    RunStarted
    | RunQueued
    | RetrievalCompleted
    | TextDelta
    | TextRewind
    | Citation
    | Usage
    | RunCompleted
    | RunCancelled
    | RunFailed
)
EVENT_TYPES: dict[str, type[RunEvent]] = {
    cls.type: cls
    for cls in (
        RunStarted,
        RunQueued,
        RetrievalCompleted,
        TextDelta,
        TextRewind,
        Citation,
        Usage,
        RunCompleted,
        RunCancelled,
        RunFailed,
    )
}
TERMINAL_TYPES = frozenset({RunCompleted.type, RunCancelled.type, RunFailed.type})


class LoggedEvent(msgspec.Struct, frozen=True, gc=False):
    """An event as it stands in a run's log: `id` counts 1, 2, 3 …; `data` is the event's JSON, encoded once."""

    id: int
    type: str
    data: bytes

    @property
    def terminal(self) -> bool:
        """Whether nothing follows."""
        return self.type in TERMINAL_TYPES

    def event(self) -> RunEvent:
        """The event itself, decoded."""
        return msgspec.json.decode(self.data, type=EVENT_TYPES[self.type])


Take: TypeAlias = Callable[[list[LoggedEvent]], bool]
"""Takes consecutive events of a run there and then, without waiting; False when the reader is to go on itself."""


def encode_event(event: RunEvent) -> bytes:
    """The event's fields as JSON (its type is not among them)."""
    return msgspec.json.encode(event)


@dataclass(frozen=True, slots=True)
class Run:
    """A run as stored: whose it is, what it answers, where it stands, which attempt may write its log.

    `request` is what its protocol repeats of the request, `last_event` the id of the log's last event once it ended.
    """

    id: UUID
    workspace_id: UUID
    conversation_id: UUID
    message_id: UUID
    state: RunState
    attempt: int
    created_at: datetime
    request: dict[str, Any] | None = None
    last_event: int | None = None
