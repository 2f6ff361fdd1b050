"""First-token benchmark: what the service adds before the first word of an answer, stage by stage.

`python -m evals.bench.first_token` starts `footnote serve` with a model and an embedder that take no time, over the
handbook, and keeps ten clients asking, each after a pause of up to a second. The client measures until the first
`text.delta`; the stages are those that each answer stores. Then, one client: a whole `POST /v1/chat` with an answer of
one word, beside a bare FastAPI endpoint that streams one event.
"""

import asyncio
import random
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated

import httpx
import numpy as np
import typer
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from rich.console import Console
from rich.table import Table

from evals.drills.fleet import fleet

QUESTION = "How do I install Footnote? [[tokens={words}]]"
WARM = 30
OPENED = "the stream opened"
PAUSE_S = 1.0  # at most, of each client before its next question, when there are several
STAGES = {"condensed": "question understood", "retrieved": "passages found", "first_token": "the model's first token"}
console = Console(width=110)


def main(
    answers: Annotated[int, typer.Option(help="How many are measured.")] = 300,
    clients: Annotated[int, typer.Option(help="How many ask at a time.")] = 10,
) -> None:
    """Ask, and print the tables."""
    with fleet(1, {"FOOTNOTE_SCRIPTED_TOKENS_PER_S": "1000000"}) as running, bare() as bare_url:
        asyncio.run(_many(running.url, WARM, clients))
        alone, together = (asyncio.run(_many(running.url, answers, n)) for n in (1, clients))
        whole, streamed = asyncio.run(_pairs(running.url, bare_url, answers))
    table = Table("milliseconds from the request", "one client p50", "p95", f"{clients} clients p50", "p95")
    for name in alone:
        cells = [f"{np.percentile(times[name], q):.1f}" for times in (alone, together) for q in (50, 95)]
        table.add_row(name, *cells)
    console.print(table)
    console.print(
        f"an answer of one word: {np.median(whole):.1f} ms, {np.median(whole) / np.median(streamed):.1f} x a bare "
        f"FastAPI StreamingResponse ({np.median(streamed):.2f} ms)"
    )


async def _many(url: str, answers: int, clients: int) -> dict[str, list[float]]:
    """Milliseconds by stage of so many answers, asked by so many clients at a time."""
    times: dict[str, list[float]] = defaultdict(list)
    left, chance = iter(range(answers)), random.Random(clients)  # noqa: S311 - a benchmark
    pause_s, conversations = PAUSE_S if clients > 1 else 0.0, list[str]()

    async def one() -> None:
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            for _ in left:
                await asyncio.sleep(chance.uniform(0, pause_s))
                began = time.perf_counter()
                async with client.stream("POST", "/v1/chat", json={"message": QUESTION.format(words=20)}) as response:
                    times[OPENED].append((time.perf_counter() - began) * 1000)
                    conversation, first = "", 0.0
                    async for line in response.aiter_lines():
                        if not conversation and '"conversation_id":"' in line:
                            conversation = line.partition('"conversation_id":"')[2].partition('"')[0]
                        if not first and line == "event: text.delta":
                            first = (time.perf_counter() - began) * 1000
                conversations.append(conversation)
                times["the client has the first text"].append(first)

    await asyncio.gather(*(one() for _ in range(clients)))
    stages: dict[str, list[float]] = defaultdict(list)
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        for conversation in conversations:
            stored = (await client.get(f"/v1/conversations/{conversation}")).json()["messages"][-1]["timings_ms"]
            for stage, name in STAGES.items():
                stages[f"  from the run's start: {name}"].append(stored[stage])
    return {OPENED: times.pop(OPENED)} | stages | times


async def _pairs(url: str, bare_url: str, answers: int) -> tuple[list[float], list[float]]:
    """Milliseconds of a whole one-word answer, and of the same bytes from the bare endpoint, in turns."""
    whole, streamed = [], []
    async with httpx.AsyncClient(timeout=60) as client:
        for number in range(answers + WARM):
            began = time.perf_counter()
            await client.post(f"{url}/v1/chat", json={"message": QUESTION.format(words=1)})
            between = time.perf_counter()
            await client.post(f"{bare_url}/v1/chat", json={"message": QUESTION.format(words=1)})
            if number >= WARM:
                whole.append((between - began) * 1000)
                streamed.append((time.perf_counter() - between) * 1000)
    return whole, streamed


@contextmanager
def bare() -> Iterator[str]:
    """A bare FastAPI server in a process of its own; yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-m", "evals.bench.first_token", "--serve", str(listener.fileno())]
        with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[listener.fileno()]) as process:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            process.communicate()


def serve_bare(descriptor: int) -> None:
    """Stream one event to whoever asks, until standard input ends."""
    app = FastAPI()

    async def events() -> AsyncIterator[bytes]:
        yield b'id: 1\nevent: text.delta\ndata: {"text":"word"}\n\n'

    @app.post("/v1/chat")
    async def chat(_body: dict[str, str]) -> StreamingResponse:
        return StreamingResponse(events(), media_type="text/event-stream")

    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))

    def wait() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=wait, daemon=True).start()
    server.run([socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve_bare(int(sys.argv[2]))
    else:
        typer.run(main)
