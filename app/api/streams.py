"""Streams: a run's log as a server-sent event response."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Iterator
from contextlib import aclosing
from typing import Any

import structlog
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.encoders import native
from app.domain.errors import RunLogUnavailable
from app.domain.run import LoggedEvent

log = structlog.get_logger()

# No proxy may buffer or compress what is meant to arrive token by token.
HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
ALSO_A_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}
}
"""What a path that answers with JSON or with a stream has in the OpenAPI document."""
PIECE_BYTES = 1 << 16
HEARTBEAT = b": heartbeat\n\n"
BEGUN = "footnote.streams"  # in an ASGI scope: those that are to go on when the application has returned


class _Rest:
    """The rest of a coroutine that has been begun by hand and waits for `awaited`."""

    __slots__ = ("_awaited", "_steps")

    def __init__(self, steps: Generator[Any, None, None], awaited: Any) -> None:
        self._steps = steps
        self._awaited = awaited

    def __await__(self) -> Generator[Any, None, None]:
        yield self._awaited
        yield from self._steps


class EventStream(Response):
    """Streams the events of `batches` until the run's last one; what comes together goes out together.

    The stream lives as long as its run and its client. A comment after `heartbeat_s` of silence keeps proxies from
    cutting it. A client that disconnects ends this response and nothing else: the run goes on, and
    GET /v1/runs/{id}/events resumes. A slow client is waited for, event by event, at no cost to others.
    """

    media_type = "text/event-stream"
    batches: AsyncGenerator[list[LoggedEvent], None]

    def __init__(
        self,
        status_code: int = 200,
        *,
        heartbeat_s: float,
        encode: Callable[[LoggedEvent], bytes] = native.encode,
    ) -> None:
        super().__init__(status_code=status_code, headers=HEADERS)
        del self.headers["content-length"]
        self._heartbeat_s = heartbeat_s
        self._encode = encode
        self._sent_at = 0.0
        self._send: Send | None = None
        self._rest: Awaitable[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write until the run ends or the client is gone; behind `Unwound`, only begin."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if BEGUN in scope:
            scope[BEGUN].append(self)
        else:
            await self.go_on(receive, send)

    async def go_on(self, receive: Receive, send: Send) -> None:
        """Write until the run ends or the client is gone."""
        writing = asyncio.create_task(self._write(send), name="event-stream")
        try:
            # comes when the client disconnects, and when the response is complete
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            if not writing.done():
                writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    def take(self, batch: list[LoggedEvent]) -> bool:
        """Send the events there and then, while `batches` waits; False when it is to go on, as the client is slow.

        Sending to a client that keeps up never waits, so that its coroutine ends in its first step, for which no task
        has to be woken.
        """
        assert self._send is not None  # noqa: S101 - `batches` waits
        steps = self._send(_body(b"".join(map(self._encode, batch)))).__await__()
        try:
            awaited = next(steps)
        except StopIteration:
            self._sent_at = asyncio.get_running_loop().time()
            return True
        except Exception as error:  # noqa: BLE001 - raised again where it belongs, in the stream's own task
            failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            failed.set_exception(error)
            self._rest = failed
        else:
            self._rest = _Rest(steps, awaited)
        return False

    async def _write(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        await send(_body(native.PREAMBLE))
        self._send, self._sent_at = send, loop.time()
        try:
            async with aclosing(self.batches) as batches:
                async for batch in batches:
                    if self._rest is not None:
                        rest, self._rest = self._rest, None
                        await rest
                        self._sent_at = loop.time()
                    for body in _bodies(map(self._encode, batch)):
                        await send(_body(body))
                        self._sent_at = loop.time()
                    if not batch and loop.time() - self._sent_at >= self._heartbeat_s:
                        await send(_body(HEARTBEAT))
                        self._sent_at = loop.time()
        except RunLogUnavailable as error:
            # After the first byte there is no status code left to set: end, and let the client reconnect.
            log.warning("stream.cut", error=error.message)
        except Exception:
            log.exception("stream.failed")
        await send({"type": "http.response.body", "body": b""})


class Unwound:
    """Runs event streams when the application within has returned from them.

    A stream lives long. Left to itself it would keep what its request went through (FastAPI's and the middleware's
    frames, the request and its body), and each of its events would go through all of that.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer, and an event stream go on afterwards."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun: list[EventStream] = []
        await self._app({**scope, BEGUN: begun}, receive, send)
        for stream in begun:
            await stream.go_on(receive, send)


def _bodies(frames: Iterable[bytes]) -> Iterator[bytes]:
    """The events in few pieces. A server asks whether its client keeps up before each, and holds the whole of one."""
    piece, size = list[bytes](), 0
    for frame in frames:
        if piece and size + len(frame) > PIECE_BYTES:
            yield b"".join(piece)
            piece, size = [], 0
        piece.append(frame)
        size += len(frame)
    if piece:
        yield b"".join(piece)


def _body(body: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": True}
