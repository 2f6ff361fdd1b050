"""The event stream: what is written on this worker goes out at once; slow clients lose nothing and hold up nothing."""

import asyncio
import random
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any
from uuid import UUID

import pytest
import uvicorn
from fastapi import Depends, FastAPI, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.streams import EventStream, Unwound
from app.domain.run import RunCompleted, TextDelta
from app.storage.models import new_id
from app.storage.run_log import RunLog

SCOPE = {"type": "http", "method": "GET", "path": "/", "headers": []}
Sent = Callable[[bytes], Awaitable[None]]


def stream_of(log: RunLog, run_id: UUID) -> EventStream:
    response = EventStream(heartbeat_s=15)
    response.batches = log.read(run_id, take=response.take)
    return response


async def serve(response: EventStream, sent: Sent, gone: asyncio.Event | None = None) -> None:
    """Run the response until it is over, or until the client is `gone`."""
    over = gone or asyncio.Event()

    async def receive() -> dict[str, Any]:
        await over.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await sent(message["body"])
            if not message.get("more_body"):
                over.set()

    await response(SCOPE, receive, send)


async def write(log: RunLog, run_id: UUID, words: int, every_s: float = 0.001) -> None:
    writer = log.writer(run_id, 1)
    for number in range(words):
        writer.put(TextDelta(f"{number} "))
        await asyncio.sleep(every_s)
    writer.put(RunCompleted("stop"))
    assert await writer.flushed()
    log.done(writer)


def ids_in(body: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"^id: (\d+)$", body, re.MULTILINE)]


async def test_no_task_is_woken_for_what_a_client_takes_at_once(run_log: RunLog) -> None:
    by: list[str] = []
    body = bytearray()

    async def sent(part: bytes) -> None:
        task = asyncio.current_task()
        assert task is not None
        by.append(task.get_name())
        body.extend(part)

    run_id = new_id()
    await asyncio.gather(serve(stream_of(run_log, run_id), sent), write(run_log, run_id, 50))
    assert ids_in(body) == list(range(1, 52))
    assert by.count("run-log-flusher") > 30
    assert by.count("event-stream") < 10, "its beginning and its end"


@pytest.mark.parametrize("seed", range(5))
async def test_a_client_that_is_slow_now_and_then_gets_everything_once_and_in_order(run_log: RunLog, seed: int) -> None:
    chance = random.Random(seed)
    body = bytearray()
    sending = 0

    async def sent(part: bytes) -> None:
        nonlocal sending
        sending += 1
        assert sending == 1, "one at a time"
        if chance.random() < 0.3:
            await asyncio.sleep(chance.random() * 0.02)
        body.extend(part)
        sending -= 1

    run_id = new_id()
    await asyncio.gather(serve(stream_of(run_log, run_id), sent), write(run_log, run_id, 100))
    assert ids_in(body) == list(range(1, 102))


async def test_a_client_whose_connection_fails_costs_the_others_nothing(run_log: RunLog) -> None:
    body, failing = bytearray(), bytearray()

    async def sent(part: bytes) -> None:
        body.extend(part)

    async def fails(part: bytes) -> None:
        if b"id: 7\n" in failing:
            raise OSError("the connection is broken")
        failing.extend(part)

    run_id = new_id()
    streams = [stream_of(run_log, run_id) for _ in range(2)]
    outcome, *_ = await asyncio.gather(
        serve(streams[0], fails, gone := asyncio.Event()),
        serve(streams[1], sent),
        write(run_log, run_id, 30),
        leave_later(gone),
        return_exceptions=True,
    )
    assert outcome is None
    assert ids_in(failing) == list(range(1, 8))
    assert ids_in(body) == list(range(1, 32))


async def leave_later(gone: asyncio.Event) -> None:
    await asyncio.sleep(0.2)
    gone.set()


async def test_a_client_may_go_while_it_is_waited_for(run_log: RunLog) -> None:
    never = asyncio.Event()
    body = bytearray()

    async def sent(part: bytes) -> None:
        if b"id: 3\n" in body:
            await never.wait()
        body.extend(part)

    run_id = new_id()
    gone = asyncio.Event()
    await asyncio.gather(serve(stream_of(run_log, run_id), sent, gone), write(run_log, run_id, 30), leave_later(gone))
    got = ids_in(body)
    assert 3 <= len(got) < 31
    assert got == list(range(1, len(got) + 1))
    assert [event.id for event in await run_log.events(run_id)] == list(range(1, 32))


async def test_a_client_that_does_not_read_is_held_for_no_more_than_its_buffer(run_log: RunLog) -> None:
    """Over a real connection: 4 MB are written while the client reads nothing; then it reads, and has all of it."""
    run_id, word = new_id(), "x" * 40_000
    writer = run_log.writer(run_id, 1)
    app = FastAPI()

    @app.get("/")
    async def stream() -> Response:
        return stream_of(run_log, run_id)

    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)  # left alone, the kernel's would grow
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve([listener]))
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    small.setblocking(False)
    await asyncio.get_running_loop().sock_connect(small, listener.getsockname())
    reader, client = await asyncio.open_connection(sock=small, limit=4096)
    client.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
    await reader.readuntil(b"retry: 2000\n\n")

    for _ in range(100):
        writer.put(TextDelta(word))
        await writer.tried()
    writer.put(RunCompleted("stop"))
    assert await writer.flushed(30)
    run_log.done(writer)
    await asyncio.sleep(0.2)  # for whatever it would still take
    (connection,) = server.server_state.connections
    held = connection.transport.get_write_buffer_size()
    assert 0 < held < (1 << 16) + 4 * len(word), "its buffer, and what came in the moment in which that filled up"

    body = bytearray()
    while not body.endswith(b"0\r\n\r\n"):
        body += await asyncio.wait_for(reader.read(1 << 20), 30)
    assert ids_in(bytes(body)) == list(range(1, 102))
    client.close()
    server.should_exit = True
    await serving


async def test_a_stream_outlives_its_request(run_log: RunLog) -> None:
    """What the request went through has ended while the stream is open, and no event goes through it."""
    run_id, closed, passed = new_id(), asyncio.Event(), list[str]()
    body = bytearray()

    class Marking:
        """Middleware that adds a header."""

        def __init__(self, app: ASGIApp) -> None:
            self._app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            async def marked(message: Message) -> None:
                passed.append(message["type"])
                message["headers"].append((b"x-marked", b"yes"))
                await send(message)

            await self._app(scope, receive, marked)

    async def dependency() -> AsyncIterator[str]:
        yield "open"
        closed.set()

    app = FastAPI()

    @app.get("/")
    async def stream(_: Annotated[str, Depends(dependency)]) -> Response:
        return stream_of(run_log, run_id)

    app.add_middleware(Marking)
    app.add_middleware(Unwound)
    over = asyncio.Event()
    asked = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        if asked:
            return asked.pop()
        await over.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            assert (b"x-marked", b"yes") in message["headers"]
            return
        body.extend(message["body"])
        if not message.get("more_body"):
            over.set()

    scope = SCOPE | {"query_string": b"", "http_version": "1.1"}
    answering = asyncio.create_task(app(scope, receive, send))
    writing = asyncio.create_task(write(run_log, run_id, 30, every_s=0.01))
    await asyncio.wait_for(closed.wait(), 5)
    assert not writing.done()
    await asyncio.gather(writing, answering)
    assert ids_in(body) == list(range(1, 32))
    assert passed == ["http.response.start"]
    assert scope.keys() == (SCOPE | {"query_string": b"", "http_version": "1.1", "app": app}).keys()
