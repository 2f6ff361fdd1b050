"""Conversation: questions and answers in order."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from app.domain.passage import Passage
from app.domain.run import Citation, Problem, RunState, Usage

Role = Literal["user", "assistant"]


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message to a language model."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation; an assistant's carries its run, footnotes, the passages they point into and how
    the run stands. `reranked`: whether a reranker ordered the passages; None when none was set. `rating` and `comment`
    are what its reader said of it."""

    id: UUID
    role: Role
    text: str
    created_at: datetime
    run_id: UUID | None = None
    state: RunState | None = None
    finish_reason: str | None = None
    problem: Problem | None = None
    citations: tuple[Citation, ...] = ()
    passages: tuple[Passage, ...] = ()
    reranked: bool | None = None
    usage: Usage | None = None
    prompt: str | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)
    rating: Literal["up", "down"] | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class ConversationSummary:
    """A conversation as listed; `title` is the beginning of its first question, `collection` the one that all of its
    questions were about, if there is such."""

    id: UUID
    title: str
    collection: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Conversation(ConversationSummary):
    """A conversation with its messages, oldest first."""

    messages: tuple[Message, ...] = ()
