"""Streams: a run's log as a server-sent event response."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog
from sse_starlette import EventSourceResponse, ServerSentEvent

from app.api.encoders import native
from app.domain.errors import RunLogUnavailable
from app.domain.run import LoggedEvent

log = structlog.get_logger()

# No proxy may buffer or compress what is meant to arrive token by token.
HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}


def event_stream(events: AsyncGenerator[LoggedEvent, None], *, heartbeat_s: float) -> EventSourceResponse:
    """Stream the events until the run's last one.

    The stream lives as long as its run and its client. A comment every `heartbeat_s` keeps proxies from cutting it. A
    client that disconnects ends this response and nothing else: the run goes on, and GET /v1/runs/{id}/events resumes.
    """

    async def body() -> AsyncGenerator[bytes, None]:
        yield native.PREAMBLE
        async with aclosing(events) as source:
            try:
                async for event in source:
                    yield native.encode(event)
            except RunLogUnavailable as error:
                # After the first byte there is no status code left to set: end, and let the client reconnect.
                log.warning("stream.cut", error=error.message)

    return EventSourceResponse(
        body(),
        headers=HEADERS,
        ping=heartbeat_s,
        ping_message_factory=lambda: ServerSentEvent(comment="heartbeat"),
    )
