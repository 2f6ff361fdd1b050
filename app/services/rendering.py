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


async def rendered(run: Run, message: Message, after: int) -> AsyncGenerator[list[LoggedEvent], None]:
    """The run's events, numbered from `after` + 1; a client that had some of them is told to start over."""
    reranked = UNSET if message.reranked is None else message.reranked
    events: list[RunEvent] = [started(run), RetrievalCompleted(message.passages, reranked)]
    if after:
        events.append(TextRewind(0))
    if message.text:
        events.append(TextDelta(message.text))
    events += message.citations
    if message.usage is not None:
        events.append(message.usage)
    events.append(stored_end(run, message))
    yield [LoggedEvent(number, event.type, encode_event(event)) for number, event in enumerate(events, start=after + 1)]


def started(run: Run) -> RunStarted:
    """The run's first event."""
    return RunStarted(str(run.id), str(run.conversation_id), str(run.message_id), run.created_at)


def stored_end(run: Run, message: Message) -> RunCompleted | RunCancelled | RunFailed:
    """How the run ended, as its last event."""
    if run.state is RunState.COMPLETED:
        return RunCompleted(message.finish_reason or "stop")  # type: ignore[arg-type]
    return RunCancelled() if run.state is RunState.CANCELLED else RunFailed(message.problem or INTERRUPTED)
