"""Streams benchmark: what an event costs on its way to a client, beside other ways of sending it.

`python -m evals.bench.streams` opens 1,000 streams on a server that has one core; once all are open, each has 50
events, 20 a second, and in another run as fast as they go. In each round every contestant once, in random order. The
clients share the other core with Valkey. Then, for ours: memory after waves of streams whose clients leave in the
middle, and the replay of a finished run beside one bare XRANGE.
"""

import asyncio
import os
import random
import socket
import statistics
import subprocess
import sys
import time
from bisect import bisect
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, cast
from uuid import uuid4

import httpx
import numpy as np
import typer
import uvloop
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table

from app.domain.run import RunCompleted, TextDelta
from app.embedded.services import embedded_services
from app.storage.run_log import RunLog
from evals.bench.streaming import CONTESTANTS, EVENTS

console = Console(width=130)
PER_S = 20
REQUEST = b"GET /stream HTTP/1.1\r\nhost: localhost\r\n\r\n"
CONNECT_AT_ONCE = 100


@dataclass(slots=True)
class Seen:
    """Of one contestant, one entry a round: CPU microseconds an event, as fast as they go and `PER_S` a second; of the
    latter bytes a stream, and delays and gaps in ms.
    """

    fast_us: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    stream_bytes: list[float] = field(default_factory=list)
    delay_p50: list[float] = field(default_factory=list)
    delay_p99: list[float] = field(default_factory=list)
    gap_p99: list[float] = field(default_factory=list)


class Client(asyncio.Protocol):
    """One stream's reader. It reads what it got when all is over: on its core Valkey has to work too."""

    def __init__(self, leave_after: int | None = None) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self._got: list[tuple[float, bytes]] = []
        self._leave_after = leave_after
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        self._transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        """Note it."""
        self._got.append((time.monotonic(), data))
        assert self._transport is not None  # noqa: S101 - connected
        if self._leave_after is not None and len(self._got) >= self._leave_after:
            self._transport.abort()
        elif data.endswith(b"0\r\n\r\n"):
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        if not self.done.done():
            self.done.set_result(None)

    @cached_property
    def arrivals(self) -> tuple[list[float], list[float]]:
        """When each event came, and how old it was then, in seconds; asked when all is over."""
        times, delays, tail = list[float](), list[float](), b""
        for now, data in self._got:
            *whole, tail = (tail + data).replace(b"\r\n", b"\n").split(b"\n\n")
            for event in whole:
                _, found, text = event.rpartition(b'{"text":')
                if found:
                    times.append(now)
                    delays.append(now - float(text.partition(b"}")[0].strip(b' "')))
        return times, delays


def main(
    streams: Annotated[int, typer.Option(help="How many are open at a time.")] = 1000,
    rounds: Annotated[int, typer.Option(help="How often each contestant runs.")] = 5,
    waves: Annotated[int, typer.Option(help="Of aborted streams.")] = 6,
) -> None:
    """Run the rounds and print the tables."""
    cores = sorted(os.sched_getaffinity(0))
    with TemporaryDirectory(prefix="fn-bench-") as folder, embedded_services(Path(folder)) as endpoints:
        os.sched_setaffinity(0, {cores[0]})
        console.print(_machine_alone(), highlight=False)
        os.sched_setaffinity(0, {cores[-1]})
        seen = {contestant: Seen() for contestant in CONTESTANTS}
        order = [contestant for _ in range(rounds) for contestant in CONTESTANTS]
        for number in range(rounds):
            part = order[number * len(CONTESTANTS) : (number + 1) * len(CONTESTANTS)]
            random.Random(number).shuffle(part)  # noqa: S311 - a benchmark
            for contestant in part:
                with served(contestant, cores[0], endpoints.redis_url) as port:
                    uvloop.run(_round(port, streams, seen[contestant]))
                console.print(f"round {number + 1}: {contestant}", highlight=False)
        _print(seen, streams, rounds)
        with served("ours", cores[0], endpoints.redis_url) as port:
            console.print(
                f"resident MB after each wave of {streams} aborted streams: ", uvloop.run(_waves(port, streams, waves))
            )
        replay, bare = asyncio.run(_replay(endpoints.redis_url))
        console.print(
            f"replay of a finished run of 999 events: {replay:.2f} ms, {replay / bare:.2f} x one XRANGE ({bare:.2f} ms)"
        )


def _machine_alone(seconds: float = 8, window_s: float = 0.05) -> str:
    """How evenly the core works that the server will have: where machines are shared, some moments are far slower."""
    rates, ends = list[float](), time.perf_counter() + seconds
    while (began := time.perf_counter()) < ends:
        done = 0
        while time.perf_counter() < began + window_s:
            sum(range(2_000))
            done += 1
        rates.append(done / (time.perf_counter() - began))
    usual = statistics.median(rates)
    slow = sum(rate * 1.5 < usual for rate in rates) / len(rates)
    return (
        f"the server's core with nothing else to do: {slow:.0%} of its moments of {window_s * 1000:.0f} ms are more "
        f"than 1.5 x slower than the median one, the slowest {usual / min(rates):.1f} x"
    )


@contextmanager
def served(contestant: str, core: int, redis_url: str) -> Iterator[int]:
    """A contestant in a process on one core; yields its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        command = [sys.executable, "-m", "evals.bench.streaming", contestant, str(listener.fileno()), redis_url]
        with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[listener.fileno()]) as process:
            os.sched_setaffinity(process.pid, {core})
            yield listener.getsockname()[1]
            process.communicate()


@dataclass(frozen=True, slots=True)
class Server:
    """A contestant that is served."""

    port: int
    http: httpx.AsyncClient

    async def usage(self) -> dict[str, float]:
        """CPU seconds and resident bytes of its process, and how many streams wait."""
        usage: dict[str, float] = (await self.http.get("/usage")).json()
        return usage

    async def go(self, per_s: float | None = None) -> None:
        """Let the open streams begin."""
        await self.http.post("/go", params={} if per_s is None else {"per_s": per_s})


@asynccontextmanager
async def _server(port: int) -> AsyncIterator[Server]:
    """What to ask a contestant beside its streams; made beforehand, as making one takes the clients' core a while."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
        yield Server(port, http)


async def _open(server: Server, streams: int, leave_after: int | None = None) -> list[Client]:
    """Open the streams, a batch at a time, until all of them wait."""
    loop = asyncio.get_running_loop()
    clients: list[Client] = []
    for _ in range(0, streams, CONNECT_AT_ONCE):
        made = await asyncio.gather(
            *(
                loop.create_connection(lambda: Client(leave_after), "127.0.0.1", server.port)
                for _ in range(min(CONNECT_AT_ONCE, streams - len(clients)))
            )
        )
        clients += [client for _, client in made]
    while (await server.usage())["waiting"] < streams:  # noqa: ASYNC110 - of another process
        await asyncio.sleep(0.1)
    return clients


async def _round(port: int, streams: int, seen: Seen) -> None:
    async with _server(port) as server:
        warm = await _open(server, 20)
        await server.go()
        await asyncio.gather(*(client.done for client in warm))
        before = await server.usage()
        clients = await _open(server, streams)
        opened = await server.usage()
        await server.go(PER_S)
        await asyncio.sleep(1)
        during = await server.usage()
        seen.cpu_us.append(await _cpu_us(server, clients, opened))
        seen.stream_bytes.append((during["rss"] - before["rss"]) / streams)
        arrivals = [client.arrivals for client in clients]
        first = min(times[-1] for times, _ in arrivals)  # to end; from then on they are not as many
        while_open = [
            (np.array(times)[: (count := bisect(times, first))], delays[:count]) for times, delays in arrivals
        ]
        gaps = np.concatenate([np.diff(times) for times, _ in while_open]) * 1000
        delays = np.concatenate([delays for _, delays in while_open]) * 1000
        seen.delay_p50.append(float(np.percentile(delays, 50)))
        seen.delay_p99.append(float(np.percentile(delays, 99)))
        seen.gap_p99.append(float(np.percentile(gaps, 99)))
        clients = await _open(server, streams)
        opened = await server.usage()
        await server.go()
        seen.fast_us.append(await _cpu_us(server, clients, opened))


async def _cpu_us(server: Server, clients: list[Client], before: dict[str, float]) -> float:
    """The server's CPU microseconds for each event of these streams, once they are over."""
    await asyncio.gather(*(client.done for client in clients))
    after = await server.usage()
    events = sum(len(client.arrivals[0]) for client in clients)
    if events != len(clients) * EVENTS:
        raise RuntimeError(f"{events} of {len(clients) * EVENTS} events came")
    return (after["cpu_s"] - before["cpu_s"]) / events * 1e6


async def _waves(port: int, streams: int, waves: int) -> str:
    """Resident memory after each wave of streams that are left in the middle."""
    sizes = []
    async with _server(port) as server:
        for _ in range(waves):
            clients = await _open(server, streams, leave_after=5)
            await server.go(PER_S)
            await asyncio.gather(*(client.done for client in clients))
            await asyncio.sleep(3)  # the runs themselves are written to their end
            sizes.append(f"{(await server.usage())['rss'] / 1e6:.0f}")
    return ", ".join(sizes)


async def _replay(redis_url: str) -> tuple[float, float]:
    """Milliseconds, medians: reading a finished run of 1,000 events as a client would, and one bare XRANGE of it."""
    run_log, run_id, redis = RunLog(redis_url), uuid4(), Redis.from_url(redis_url, protocol=3)
    writer = run_log.writer(run_id, 1)
    for number in range(998):
        writer.put(TextDelta(f" word{number}"))
    writer.put(RunCompleted("stop"))
    await writer.flushed()
    run_log.done(writer)
    replays, bares = [], []
    for _ in range(50):
        began = time.perf_counter()
        events = [event async for batch in run_log.read(run_id) for event in batch]
        replays.append(time.perf_counter() - began)
        began = time.perf_counter()
        entries = await redis.xrange(f"footnote:run:{run_id}")
        bares.append(time.perf_counter() - began)
        if len(events) != len(entries or ()):
            raise RuntimeError("the replay is not whole")
    await run_log.close()
    await redis.aclose()
    return statistics.median(replays) * 1000, statistics.median(bares) * 1000


def _print(seen: dict[str, Seen], streams: int, rounds: int) -> None:
    table = Table(
        "contestant",
        "µs, fast",
        "x raw",
        "x sse-s.",
        f"µs, {PER_S}/s",
        "x raw",
        "x sse-s.",
        "delay p50, p99 ms",
        "gap p99 ms",
        "KB/stream",
        title=f"{streams} streams x {EVENTS} events, as fast as they go and {PER_S} a second (delays, gaps, memory):\n"
        f"CPU µs an event, ratios to raw ASGI and sse-starlette within a round; medians of {rounds} rounds",
    )
    mid = statistics.median
    raw, plain, unlogged = seen["raw ASGI"], seen["sse-starlette"], seen["ours, without the log"]
    for contestant, of in seen.items():
        table.add_row(
            contestant,
            *_against(of.fast_us, raw.fast_us, plain.fast_us),
            *_against(of.cpu_us, raw.cpu_us, plain.cpu_us),
            f"{mid(of.delay_p50):.1f}, {mid(of.delay_p99):.1f}",
            f"{mid(of.gap_p99):.0f}",
            f"{mid(of.stream_bytes) / 1024:.0f}",
        )
    console.print(table)
    ours = seen["ours"]
    for pace, logged, bare, unit in (
        ("as fast as they go", ours.fast_us, unlogged.fast_us, "µs an event"),
        (f"{PER_S} a second", ours.cpu_us, unlogged.cpu_us, "µs an event"),
        (f"{PER_S} a second", ours.delay_p50, unlogged.delay_p50, "ms of delay, p50"),
        (f"{PER_S} a second", ours.delay_p99, unlogged.delay_p99, "ms of delay, p99"),
    ):
        added = [one - other for one, other in zip(logged, bare, strict=True)]
        console.print(
            f"the log adds, {pace}: {mid(added):.1f} {unit} ({min(added):.1f} to {max(added):.1f})", highlight=False
        )


def _against(own: list[float], raw: list[float], plain: list[float]) -> list[str]:
    ratios = [
        f"{statistics.median(one / other for one, other in zip(own, others, strict=True)):.2f}"
        for others in (raw, plain)
    ]
    return [f"{statistics.median(own):.1f}", *ratios]


if __name__ == "__main__":
    typer.run(main)
