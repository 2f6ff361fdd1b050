"""Counting model: a chat model behind OpenAI's protocol on a loopback port, which counts what each answer cost it."""

import asyncio
import json
import re
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

START_S = 20
_NUMBER = re.compile(r"Question (\d+)\.")


class CountingModel:
    """Says word after word at `tokens_per_s`, until it has said `tokens` or nobody listens.

    `generated` counts the words by the number that the question names itself by, `open` what is being answered.
    """

    def __init__(self, tokens_per_s: float, tokens: int) -> None:
        self._delay_s = 1 / tokens_per_s
        self._tokens = tokens
        self.generated: Counter[int] = Counter()
        self.open: set[int] = set()
        self.url = ""

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(routes=[Route("/v1/chat/completions", self._answer, methods=["POST"])])

    async def _answer(self, request: Request) -> StreamingResponse:
        body = await request.json()
        named = _NUMBER.findall(body["messages"][-1]["content"])
        return StreamingResponse(self._words(int(named[-1]) if named else 0), media_type="text/event-stream")

    async def _words(self, number: int) -> AsyncIterator[str]:
        self.open.add(number)
        try:
            for word in range(self._tokens):
                await asyncio.sleep(self._delay_s)
                self.generated[number] += 1
                yield _chunk({"content": f" word{word}"}, None)
            yield _chunk({}, "stop")
            yield "data: [DONE]\n\n"
        finally:
            self.open.discard(number)


def _chunk(delta: dict[str, str], finish_reason: str | None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "counting", "choices": [choice]}
    return f"data: {json.dumps(chunk)}\n\n"


@contextmanager
def counting_model(tokens_per_s: float, tokens: int) -> Iterator[CountingModel]:
    """Serve until the block ends."""
    model = CountingModel(tokens_per_s, tokens)
    server = uvicorn.Server(
        uvicorn.Config(
            model.app(), port=0, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + START_S
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    model.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    try:
        yield model
    finally:
        server.should_exit = True
        thread.join()
