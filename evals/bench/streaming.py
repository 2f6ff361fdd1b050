"""Streaming, contestants: one ASGI application for each way of sending server-sent events.

`python -m evals.bench.streaming CONTESTANT FD [REDIS_URL]` serves it on the listening socket FD until its standard
input ends. Each stream is `EVENTS` events; an event's text is the moment at which it came to be (the machine's
monotonic clock). Streams that are open wait for `POST /go?per_s=N`, then they have `N` events a second, or, without it,
as many as they can. `GET /usage` tells the process's CPU seconds, its resident bytes, and how many streams wait.
"""

import asyncio
import json
import random
import socket
import sys
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any
from uuid import uuid4

import psutil
import uvicorn
from fastapi import FastAPI, Response
from fastapi.sse import EventSourceResponse as FastApiResponse
from fastapi.sse import ServerSentEvent
from sse_starlette import EventSourceResponse
from starlette.types import ASGIApp

from app.api.streams import EventStream, Unwound
from app.domain.run import LoggedEvent, RunCompleted, RunEvent, TextDelta, encode_event
from app.serving import quieten_garbage_collector
from app.storage.run_log import RunLog

EVENTS = 50
HEADERS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]
CONTESTANTS = ("raw ASGI", "sse-starlette", "FastAPI", "ours, without the log", "ours")


class Script:
    """A scripted model, whose streams begin together."""

    def __init__(self) -> None:
        self.waiting = 0
        self._start = asyncio.Event()
        self._every_s = 0.0

    def go(self, per_s: float | None) -> None:
        """Begin those that wait; the next ones wait again."""
        self._every_s = 1 / per_s if per_s else 0.0
        self._start.set()
        self._start, self.waiting = asyncio.Event(), 0

    async def texts(self) -> AsyncGenerator[str, None]:
        """The moment at which each token came to be."""
        self.waiting += 1
        await self._start.wait()
        loop = asyncio.get_running_loop()
        every_s = self._every_s
        due = loop.time() + every_s * random.random()  # noqa: S311 - not all in one moment
        for _ in range(EVENTS):
            await asyncio.sleep(max(0.0, due - loop.time()) if every_s else 0)
            yield f"{time.monotonic():.6f}"
            due += every_s


SCRIPT = Script()


class Raw:
    """A bare ASGI application, the limit: nothing stands between it and the server."""

    def __init__(self, app: ASGIApp) -> None:
        """`app` answers what is not `/stream`."""
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send the events."""
        if scope["path"] != "/stream":
            await self._app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        number = 0
        async for text in SCRIPT.texts():
            number += 1
            data = json.dumps({"text": text})
            body = f"id: {number}\nevent: text.delta\ndata: {data}\n\n".encode()
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def application(contestant: str, redis_url: str) -> ASGIApp:  # noqa: C901 - one case for each
    """The contestant at `/stream`."""
    app = FastAPI()
    if contestant.startswith("ours"):
        app.add_middleware(Unwound)

    @app.get("/usage")
    async def usage() -> dict[str, float]:
        rss = psutil.Process().memory_info().rss
        return {"cpu_s": time.process_time(), "rss": rss, "waiting": SCRIPT.waiting}

    @app.post("/go")
    async def go(per_s: float | None = None) -> None:
        SCRIPT.go(per_s)

    match contestant:
        case "raw ASGI":
            return Raw(app)
        case "sse-starlette":

            @app.get("/stream")
            async def starlette() -> EventSourceResponse:
                async def events() -> AsyncIterator[dict[str, str]]:
                    number = 0
                    async for text in SCRIPT.texts():
                        number += 1
                        yield {"id": str(number), "event": "text.delta", "data": json.dumps({"text": text})}

                return EventSourceResponse(events())
        case "FastAPI":

            @app.get("/stream", response_class=FastApiResponse)
            async def fastapi() -> AsyncIterator[ServerSentEvent]:
                number = 0
                async for text in SCRIPT.texts():
                    number += 1
                    yield ServerSentEvent(data={"text": text}, event="text.delta", id=str(number))
        case "ours, without the log":

            @app.get("/stream")
            async def ours() -> Response:
                response = EventStream(heartbeat_s=15)
                response.batches = _batches()
                return response
        case _:
            run_log = RunLog(redis_url, ttl_s=600)

            @app.get("/stream")
            async def logged() -> Response:
                run_id = uuid4()
                task = asyncio.create_task(_write(run_log, run_id))
                _writing.add(task)
                task.add_done_callback(_writing.discard)
                response = EventStream(heartbeat_s=15)
                response.batches = run_log.read(run_id, take=response.take)
                return response

    return app


_writing: set[asyncio.Task[None]] = set()


async def _batches() -> AsyncGenerator[list[LoggedEvent], None]:
    number = 0
    async for text in SCRIPT.texts():
        number += 1
        event: RunEvent = TextDelta(text)
        yield [LoggedEvent(number, event.type, encode_event(event))]


async def _write(run_log: RunLog, run_id: Any) -> None:
    writer = run_log.writer(run_id, 1)
    async for text in SCRIPT.texts():
        writer.put(TextDelta(text))
    writer.put(RunCompleted("stop"))
    await writer.flushed()
    run_log.done(writer)


def main(contestant: str, descriptor: str, redis_url: str = "") -> None:
    """Serve until standard input ends."""
    config = uvicorn.Config(application(contestant, redis_url), log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)

    def wait() -> None:
        sys.stdin.read()
        server.should_exit = server.force_exit = True

    threading.Thread(target=wait, daemon=True).start()
    quieten_garbage_collector()  # as our server does; every contestant has it
    server.run([socket.socket(fileno=int(descriptor))])


if __name__ == "__main__":
    main(*sys.argv[1:])
