"""Rendering: a finished run's events made anew from its stored message, once its log expired."""

from collections.abc import AsyncGenerator

from msgspec import UNSET

from app.domain.conversation import Message
from app.domain.run import (
    LoggedEvent,
    RetrievalCompleted,
    Run,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunStarted,
    RunState,
    TextDelta,
    TextRewind,
    encode_event,
)
from app.services.outcome import INTERRUPTED

RENDERED = 1_000_000_000
"""Events that are made anew are numbered from here on: no log comes so far, so nobody takes one numbering for the
other."""


def rendered(run: Run, message: Message, after: int) -> AsyncGenerator[list[LoggedEvent], None] | None:
    """The run's events after id `after`, numbered alike at every reading; None when nothing follows.

    Whoever had some of the log's gets all of them, and is told to start over.
    """
    reranked = UNSET if message.reranked is None else message.reranked
    events: list[RunEvent] = [started(run), RetrievalCompleted(message.passages, reranked), TextRewind(0)]
    if message.text:
        events.append(TextDelta(message.text))
    events += message.citations
    if message.usage is not None:
        events.append(message.usage)
    events.append(stored_end(run, message))
    logged = [LoggedEvent(number, event.type, encode_event(event)) for number, event in enumerate(events, RENDERED + 1)]
    rest = [event for event in logged if event.id > after]
    return _at_once(rest) if rest else None


async def _at_once(batch: list[LoggedEvent]) -> AsyncGenerator[list[LoggedEvent], None]:
    yield batch


def started(run: Run) -> RunStarted:
    """The run's first event."""
    return RunStarted(str(run.id), str(run.conversation_id), str(run.message_id), run.created_at)


def stored_end(run: Run, message: Message) -> RunCompleted | RunCancelled | RunFailed:
    """How the run ended, as its last event."""
    if run.state is RunState.COMPLETED:
        return RunCompleted(message.finish_reason or "stop")  # type: ignore[arg-type]
    return RunCancelled() if run.state is RunState.CANCELLED else RunFailed(message.problem or INTERRUPTED)
