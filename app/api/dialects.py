"""Dialects: a run's log through an encoder, as a stream or to its end."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from uuid import UUID

import structlog
from fastapi import Request
from sse_starlette import EventSourceResponse, ServerSentEvent

from app.api.encoders.encoder import Encoder
from app.api.streams import HEADERS
from app.bootstrap import Services
from app.domain.errors import ClientGone, RunLogUnavailable, RunNotFound
from app.domain.principal import Principal
from app.domain.run import EVENT_TYPES, LoggedEvent, Problem, RunStarted
from app.services.outcome import AnswerSoFar

log = structlog.get_logger()

DRAIN_SHARE = 0.8  # of the grace period; a stream that is open then goes on to be written until this much of it is gone

CUT = Problem(
    RunLogUnavailable.code,
    "The stream was cut",
    "Redis/Valkey is not reachable, so this stream cannot go on; the answer is written all the same, read it again.",
)


def encoded_stream(
    events: AsyncGenerator[LoggedEvent, None],
    encoder: Encoder,
    services: Services,
    *,
    run_id: UUID,
    headers: Mapping[str, str] | None = None,
) -> EventSourceResponse:
    """Stream the events in the encoder's dialect until the run's last one.

    As with the native stream: it lives as long as its run and its client, a comment now and then keeps proxies from
    cutting it, and a client that disconnects ends this response and nothing else.
    """
    return EventSourceResponse(
        _encoded(events, encoder),
        headers=HEADERS | {"X-Run-Id": str(run_id)} | dict(headers or {}),
        ping=services.settings.heartbeat_s,
        shutdown_grace_period=services.settings.shutdown_grace_s * DRAIN_SHARE,
        ping_message_factory=lambda: ServerSentEvent(comment="heartbeat"),
    )


async def _encoded(events: AsyncGenerator[LoggedEvent, None], encoder: Encoder) -> AsyncGenerator[bytes, None]:
    async with aclosing(events) as source:
        try:
            async for logged in source:
                if logged.type not in EVENT_TYPES:  # written by a newer worker
                    continue
                if sent := encoder.feed(logged.event(), logged.id):
                    yield sent
                if encoder.ended:
                    return
        except RunLogUnavailable as error:
            log.warning("stream.cut", error=error.message)
    yield encoder.fail(CUT)


async def whole_answer(events: AsyncGenerator[LoggedEvent, None], request: Request) -> tuple[RunStarted, AnswerSoFar]:
    """Everything up to the run's end, for as long as the client waits for it.

    Raises RunLogUnavailable when it cannot be read, ClientGone.
    """
    reading = asyncio.create_task(_whole(events))
    leaving = asyncio.create_task(_left(request))
    try:
        await asyncio.wait((reading, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            raise ClientGone
        return reading.result()
    finally:
        reading.cancel()
        leaving.cancel()
        await asyncio.wait((reading, leaving))


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _whole(events: AsyncGenerator[LoggedEvent, None]) -> tuple[RunStarted, AnswerSoFar]:
    answer, started = AnswerSoFar(), None
    async with aclosing(events) as source:
        async for logged in source:
            if logged.type in EVENT_TYPES:
                event = logged.event()
                answer.add(event)
                started = event if isinstance(event, RunStarted) else started
    if started is None or answer.end is None:
        raise RunLogUnavailable(CUT.detail)
    return started, answer


async def read_all(services: Services, principal: Principal, run_id: UUID) -> AsyncGenerator[LoggedEvent, None]:
    """A run's events from the first on. Raises RunNotFound, RunLogUnavailable, DatabaseUnavailable."""
    events = await services.runs.read(principal, run_id)
    assert events is not None  # noqa: S101 - every run has a first event
    return events


def run_id_of(name: str, prefix: str) -> UUID:
    """The run that a dialect calls `name`. Raises RunNotFound."""
    head, found, rest = name.partition(prefix)
    try:
        if head or not found:
            raise ValueError(name)
        return UUID(rest)
    except ValueError as error:
        raise RunNotFound(f"There is nothing with the id {name!r}.") from error


async def run_of_thread(
    services: Services, principal: Principal, thread: str, *, running: bool
) -> tuple[UUID, UUID] | None:
    """(conversation, run) of the newest answer in what a client calls `thread`; `running`: only one being written."""
    conversation_id = await services.conversations.of_thread(principal.workspace_id, thread)
    if conversation_id is None:
        return None
    conversation = await services.conversations.get(principal.workspace_id, conversation_id)
    for message in reversed(conversation.messages):
        if message.run_id is not None and (message.state == "running" or not running):
            return conversation_id, message.run_id
    return None
