"""Racing: rounds in which every contestant answers the same probes, in an order that changes."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter

from evals.bench.contestants import Contestant
from evals.bench.probes import Probe
from evals.bench.processors import Processors
from evals.progress import Progress
from evals.runner import percentile

_LAP_S = 4.0  # a contestant that is slower than that stops where it is, after this many probes at the least
_LEAST = 8
_WARM_UP = 12  # probes before the first round, of which nothing is kept: more than any pool has connections


@dataclass(slots=True)
class Lap:
    """One contestant's round: milliseconds of each search, one at a time; the rest when several ask at once."""

    ms: list[float]
    client_cpu_ms: float
    server_cpu_ms: float
    per_second: float | None = None

    @property
    def p50(self) -> float:
        """Their median."""
        return percentile(self.ms, 50)


@dataclass(slots=True)
class Record:
    """A contestant's rounds, and what it found in the first of them, for the first probes or for all."""

    laps: list[Lap] = field(default_factory=list)
    found: list[Sequence[str]] = field(default_factory=list)

    @property
    def p50(self) -> float:
        """Median of the rounds' medians, ms."""
        return median(lap.p50 for lap in self.laps)

    @property
    def p95(self) -> float:
        """Median of the rounds' 95th percentiles, ms."""
        return median(percentile(lap.ms, 95) for lap in self.laps)

    def ratio_to(self, other: "Record") -> tuple[float, float, float]:
        """How many times the other's p50 this one's is, round by round: median, least, most."""
        ratios = [mine.p50 / its.p50 for mine, its in zip(self.laps, other.laps, strict=True)]
        return median(ratios), min(ratios), max(ratios)

    def figures(self) -> dict[str, float | None]:
        """Probes asked a round, p50, p95 and processor time a search here and in PostgreSQL (ms), searches a second."""
        rates = [lap.per_second for lap in self.laps if lap.per_second is not None]
        return {
            "asked": min(len(lap.ms) for lap in self.laps),
            "p50_ms": self.p50,
            "p95_ms": self.p95,
            "client_cpu_ms": median(lap.client_cpu_ms for lap in self.laps),
            "server_cpu_ms": median(lap.server_cpu_ms for lap in self.laps),
            "per_second": median(rates) if rates else None,
        }


@dataclass(frozen=True, slots=True)
class Track:
    """How a race is run: in how many rounds, and how many ask at once in a lap's second half (0: it has none)."""

    rounds: int
    processors: Processors
    chance: random.Random
    progress: Progress
    clients: int = 0

    async def race(
        self, what: str, contestants: Sequence[Contestant], probes: Sequence[Probe], k: int
    ) -> dict[str, Record]:
        """Each contestant's record by its name."""
        task = self.progress.start(what, self.rounds * len(contestants))
        records = {one.name: Record() for one in contestants}
        for one in contestants:
            warm, started = list(probes[:_WARM_UP]), perf_counter()
            while warm and perf_counter() - started < _LAP_S:
                await one.search(warm.pop(), k)
            if self.clients:
                await asyncio.gather(*(one.search(probes[i % len(probes)], k) for i in range(self.clients)))
        for _ in range(self.rounds):
            order = list(contestants)
            self.chance.shuffle(order)
            for one in order:
                lap, found = await self._lap(one, probes, k)
                records[one.name].laps.append(lap)
                records[one.name].found = records[one.name].found or found
                self.progress.advance(task)
        return records

    async def _lap(self, one: Contestant, probes: Sequence[Probe], k: int) -> tuple[Lap, list[Sequence[str]]]:
        ms, found = list[float](), list[Sequence[str]]()
        client, server = self.processors.client_s(), self.processors.server_s()
        ended = perf_counter() + _LAP_S
        for probe in probes:
            started = perf_counter()
            if started > ended and len(ms) >= _LEAST:
                break
            ids = await one.search(probe, k)
            ms.append((perf_counter() - started) * 1000)
            found.append(ids)
        share = 1000 / len(ms)
        lap = Lap(ms, (self.processors.client_s() - client) * share, (self.processors.server_s() - server) * share)
        if self.clients:
            lap.per_second = await self._throughput(one, probes, k)
        return lap, found

    async def _throughput(self, one: Contestant, probes: Sequence[Probe], k: int) -> float:
        waiting = list(probes)
        started = perf_counter()

        async def ask() -> None:
            while waiting and perf_counter() - started < _LAP_S:
                await one.search(waiting.pop(), k)

        await asyncio.gather(*(ask() for _ in range(self.clients)))
        return (len(probes) - len(waiting)) / (perf_counter() - started)
