"""Streams drill: workers are killed, frozen and ended while answers are written; what did their clients see?

`python -m evals.drills.streams` starts `footnote serve --workers 4` on services of its own, asks 200 questions of which
10 at a time are answered at 50 words a second, and meanwhile kills workers with kill -9 at random, freezes some for
longer than their lease (they come back as zombies that want to write on), and lets clients drop and resume. `--ends N`
sends SIGTERM to workers while all answers are open. Exit code 1 when an answer was lost or a client's text is not the
stored one.
"""

import asyncio
import random
import signal
import statistics
import time
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated

import httpx
import psutil
import typer
from rich.console import Console
from rich.table import Table

from evals.drills.fleet import Fleet, fleet
from evals.drills.following import Followed, ask

QUESTION = "How do I install Footnote? Question {number}. [[tokens={words}]] {more}"
LIMIT_S = 600
FROZEN_S = 4  # twice a lease, and a second before the supervisor replaces a worker that is silent
console = Console(soft_wrap=True)


def main(
    answers: Annotated[int, typer.Option(help="How many questions.")] = 200,
    at_once: Annotated[int, typer.Option(help="How many of them are under way at a time.")] = 10,
    words: Annotated[int, typer.Option(help="Length of each answer.")] = 200,
    kills: Annotated[int, typer.Option(help="How many workers are killed.")] = 40,
    freezes: Annotated[int, typer.Option(help="How many workers are frozen for longer than their lease.")] = 5,
    ends: Annotated[int, typer.Option(help="How many workers are ended with SIGTERM.")] = 0,
    workers: Annotated[int, typer.Option(help="How many workers serve.")] = 4,
    speed: Annotated[float, typer.Option(help="Words a second.")] = 50,
    seed: Annotated[int, typer.Option(help="Of what is random.")] = 1,
) -> None:
    """Start the fleet, ask, hurt, and print the table."""
    chance = random.Random(seed)  # noqa: S311 - a drill
    seconds = answers / at_once * words / speed
    with fleet(workers, {"FOOTNOTE_SCRIPTED_TOKENS_PER_S": str(speed), "FOOTNOTE_SHUTDOWN_GRACE_S": "20"}) as running:
        began = time.monotonic()
        deeds = ["killed"] * kills + ["frozen"] * freezes + ["ended"] * ends
        chance.shuffle(deeds)
        harm = Harm()
        questions = [
            # every third answer is another one when it is written again
            QUESTION.format(number=number, words=words, more="" if number % 3 else "[[differ]]")
            for number in range(answers)
        ]
        seen = asyncio.run(
            _drill(running, questions, at_once, _hurt(running, chance, deeds, seconds, harm), bool(kills))
        )
        whole = _print(running, seen, harm, time.monotonic() - began)
    raise typer.Exit(0 if whole else 1)


@dataclass(slots=True)
class Harm:
    """What was done to the workers, and how long each of those took that were ended in good order, in seconds."""

    done: Counter[str] = field(default_factory=Counter)
    exits: list[float] = field(default_factory=list)


async def _drill(
    running: Fleet, questions: list[str], at_once: int, harm: Coroutine[None, None, None], drop: bool
) -> list[Followed]:
    """Ask all questions while the harm is done; what their clients saw."""
    seen = [Followed() for _ in questions]
    gate = asyncio.Semaphore(at_once)

    async def one(number: int) -> None:
        async with gate:
            leaving = random.Random(number) if drop else None  # noqa: S311 - a drill
            try:
                await ask(running.url, questions[number], seen[number], drop=leaving)
            except TimeoutError:
                console.print(f"answer {number} did not go on")  # it is counted as lost

    hurting = asyncio.create_task(harm)
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        for number in range(len(questions)):
            group.create_task(one(number))
    hurting.cancel()
    await asyncio.gather(hurting, return_exceptions=True)
    return seen


async def _hurt(running: Fleet, chance: random.Random, deeds: list[str], seconds: float, harm: Harm) -> None:
    """Spread the deeds over the drill's time; the workers that die are replaced by their parent."""
    for deed in deeds:
        await asyncio.sleep(seconds / (len(deeds) + 1) * chance.uniform(0.6, 1.2))
        with suppress(psutil.NoSuchProcess):
            worker = await _busy(running) if deed == "ended" else chance.choice(await _workers(running))
            if deed == "killed":
                worker.kill()
            elif deed == "ended":
                worker.send_signal(signal.SIGTERM)
                began = time.monotonic()
                await asyncio.to_thread(worker.wait, 60)
                harm.exits.append(time.monotonic() - began)
            else:
                worker.suspend()
                await asyncio.sleep(FROZEN_S)
                worker.resume()
            harm.done[deed] += 1


async def _workers(running: Fleet) -> list[psutil.Process]:
    """Those that run, once there are two: one is left to take over."""
    return await asyncio.to_thread(running.workers_at_least, 2)


async def _busy(running: Fleet, clients: int = 10) -> psutil.Process:
    """The worker with the most to lose, once it has that many clients."""
    while True:
        open_by = {worker: len(worker.net_connections("tcp")) for worker in await _workers(running)}
        worker = max(open_by, key=open_by.__getitem__)
        if open_by[worker] > clients:
            return worker
        await asyncio.sleep(0.1)


def _print(running: Fleet, seen: list[Followed], harm: Harm, seconds: float) -> bool:
    metrics = httpx.get(f"{running.url}/metrics").text
    counted = {
        name: sum(float(line.split()[-1]) for line in metrics.splitlines() if line.startswith(f"footnote_{name}_total"))
        for name in ("take_overs", "rewinds")
    }
    ended = [f for f in seen if f.end is not None]
    given_up = sum(f.end == "run.failed" for f in ended)
    gaps = sum(not f.gapless for f in seen)
    differing = sum(not f.as_stored for f in ended)
    silences = sorted(f.silence_s for f in seen)
    table = Table("measure", "value", title="answers while their workers are lost")
    table.add_row("answers", str(len(seen)))
    table.add_row(
        "workers killed, frozen, ended", ", ".join(str(harm.done[deed]) for deed in ("killed", "frozen", "ended"))
    )
    if harm.exits:
        table.add_row("seconds from SIGTERM to the exit", ", ".join(f"{s:.1f}" for s in harm.exits))
    table.add_row("completed", str(sum(f.end == "run.completed" for f in seen)))
    table.add_row("given up after three lost workers, text kept", str(given_up))
    problems = Counter(f.problem for f in ended if f.problem)
    table.add_row("problems of those", ", ".join(f"{code} {n}" for code, n in problems.items()) or "none")
    table.add_row("without an end (lost)", str(len(seen) - len(ended)))
    table.add_row("clients with missing or repeated ids", str(gaps))
    table.add_row("clients whose text or footnotes are not the stored ones", str(differing))
    table.add_row("take-overs, times text was taken back", f"{counted['take_overs']:.0f}, {counted['rewinds']:.0f}")
    table.add_row("connections of all clients", str(sum(f.connections for f in seen)))
    table.add_row(
        "longest silence of a client, median and worst", f"{statistics.median(silences):.1f} s, {silences[-1]:.1f} s"
    )
    table.add_row("seconds", f"{seconds:.0f}")
    console.print(table)
    return len(ended) == len(seen) and not gaps and not differing


if __name__ == "__main__":
    typer.run(main)
