"""Streams: a run's log as a server-sent event response."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.encoders import native
from app.domain.errors import RunLogUnavailable
from app.domain.run import LoggedEvent

log = structlog.get_logger()

# No proxy may buffer or compress what is meant to arrive token by token.
HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
HEARTBEAT = b": heartbeat\n\n"


class EventStream(Response):
    """Streams the events until the run's last one; what comes together goes out together.

    The stream lives as long as its run and its client. A comment after `heartbeat_s` of silence keeps proxies from
    cutting it. A client that disconnects ends this response and nothing else: the run goes on, and
    GET /v1/runs/{id}/events resumes. A slow client is waited for, event by event, at no cost to others.
    """

    media_type = "text/event-stream"

    def __init__(
        self, batches: AsyncGenerator[list[LoggedEvent], None], status_code: int = 200, *, heartbeat_s: float
    ) -> None:
        super().__init__(status_code=status_code, headers=HEADERS)
        del self.headers["content-length"]
        self._batches = batches
        self._heartbeat_s = heartbeat_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write until the run ends or the client is gone."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        writing = asyncio.create_task(self._write(send), name="event-stream")
        try:
            # comes when the client disconnects, and when the response is complete
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            if not writing.done():
                writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    async def _write(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        await send({"type": "http.response.body", "body": native.PREAMBLE, "more_body": True})
        sent_at = loop.time()
        try:
            async with aclosing(self._batches) as batches:
                async for batch in batches:
                    if batch:
                        body = b"".join(map(native.encode, batch))
                    elif loop.time() - sent_at >= self._heartbeat_s:
                        body = HEARTBEAT
                    else:
                        continue
                    await send({"type": "http.response.body", "body": body, "more_body": True})
                    sent_at = loop.time()
        except RunLogUnavailable as error:
            # After the first byte there is no status code left to set: end, and let the client reconnect.
            log.warning("stream.cut", error=error.message)
        except Exception:
            log.exception("stream.failed")
        await send({"type": "http.response.body", "body": b""})
