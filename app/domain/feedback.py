"""Feedback: what a reader said of an answer."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from app.domain.conversation import Message

Rating = Literal["up", "down"]


@dataclass(frozen=True, slots=True)
class Feedback:
    """A rating with what was said to it; one for each reader (API key) and answer."""

    message_id: UUID
    rating: Rating
    comment: str | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class RatedAnswer:
    """An answer that was rated: the messages before it, oldest first, the question last."""

    feedback: Feedback
    answer: Message
    before: tuple[Message, ...]
