"""Outage drill: Valkey and PostgreSQL are killed and started again while answers are written.

`python -m evals.drills.outages` starts `footnote serve --workers 2` on services of its own. While 50 answers are
written it kills one of the services with kill -9, starts it again after 3 seconds, and asks new questions all the
while; first Valkey, then PostgreSQL. Exit code 1 when an answer that had begun was lost, or a client's text is not the
stored one.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated

import httpx
import typer
from rich.console import Console
from rich.table import Table

from evals.drills.fleet import Fleet, Service, fleet
from evals.drills.following import Followed, ask

QUESTION = "How do I install Footnote? Question {number}. [[tokens={words}]]"
BEFORE_S = 2.0
PROBE_EVERY_S = 0.25


@dataclass(slots=True)
class Outage:
    """What was seen. `probes` counts what new questions came to, by status, while the service was away."""

    name: str
    seen: list[Followed] = field(default_factory=list)
    lost: int = 0
    away_s: float = 0.0
    healthy_s: float = 0.0
    probes: Counter[str] = field(default_factory=Counter)


def main(
    answers: Annotated[int, typer.Option(help="How many are under way.")] = 50,
    words: Annotated[int, typer.Option(help="Length of each.")] = 400,
    away_s: Annotated[float, typer.Option(help="Seconds until the service is started again.")] = 3.0,
) -> None:
    """Take each service away, and print the table."""
    with fleet(2, {"FOOTNOTE_SCRIPTED_TOKENS_PER_S": "50", "FOOTNOTE_RUN_LEASE_S": "5"}) as running:
        outages = [
            asyncio.run(_outage(name, running, service, answers, words, away_s))
            for name, service in (("Valkey", running.redis), ("PostgreSQL", running.database))
        ]
    raise typer.Exit(0 if _print(outages) else 1)


async def _outage(name: str, running: Fleet, service: Service, answers: int, words: int, away_s: float) -> Outage:
    outage = Outage(name, [Followed() for _ in range(answers)])

    async def one(number: int) -> None:
        try:
            await ask(running.url, QUESTION.format(number=number, words=words), outage.seen[number])
        except TimeoutError:
            outage.lost += 1

    async def harm() -> None:
        await asyncio.sleep(BEFORE_S)
        began = time.monotonic()
        await asyncio.to_thread(service.kill)
        probing = asyncio.create_task(_probe(running.url, outage.probes))
        await asyncio.sleep(away_s)
        probing.cancel()
        await asyncio.gather(probing, return_exceptions=True)
        await asyncio.to_thread(service.start)
        outage.away_s = time.monotonic() - began
        outage.healthy_s = await asyncio.to_thread(running.healthy_after)

    async with asyncio.TaskGroup() as group:
        group.create_task(harm())
        for number in range(answers):
            group.create_task(one(number))
    return outage


async def _probe(url: str, probes: Counter[str]) -> None:
    """Ask new questions, until cancelled."""
    async with httpx.AsyncClient(base_url=url, timeout=5) as client:
        while True:
            try:
                async with client.stream("POST", "/v1/chat", json={"message": "Who? [[tokens=10]]"}) as response:
                    body = (await response.aread()).decode()
                    streamed = "streamed" if "event: run.completed" in body else "cut"
                    probes[streamed if response.is_success else str(response.status_code)] += 1
            except httpx.TransportError as error:
                probes[type(error).__name__] += 1
            await asyncio.sleep(PROBE_EVERY_S)


def _print(outages: list[Outage]) -> bool:
    table = Table("measure", *(outage.name for outage in outages), title="services killed and started again")

    def row(name: str, *values: object) -> None:
        table.add_row(name, *map(str, values))

    row("answers under way", *(len(o.seen) for o in outages))
    row("completed", *(sum(f.end == "run.completed" for f in o.seen) for o in outages))
    problems = [Counter(f.problem for f in o.seen if f.problem) for o in outages]
    row("problems of the others", *(", ".join(f"{k} {n}" for k, n in p.items()) or "none" for p in problems))
    row("lost", *(o.lost for o in outages))
    row("clients with missing or repeated ids", *(sum(not f.gapless for f in o.seen) for o in outages))
    row("clients whose text is not the stored one", *(sum(not f.as_stored for f in o.seen) for o in outages))
    row("connections of all clients", *(sum(f.connections for f in o.seen) for o in outages))
    row("longest silence of a client", *(f"{max(f.silence_s for f in o.seen):.1f} s" for o in outages))
    row("the service was away", *(f"{o.away_s:.1f} s" for o in outages))
    row("healthy after it was back", *(f"{o.healthy_s:.2f} s" for o in outages))
    row("new questions meanwhile", *(", ".join(f"{k} {n}" for k, n in sorted(o.probes.items())) for o in outages))
    Console(soft_wrap=True).print(table)
    return not any(o.lost or any(not (f.gapless and f.as_stored) for f in o.seen) for o in outages)


if __name__ == "__main__":
    typer.run(main)
