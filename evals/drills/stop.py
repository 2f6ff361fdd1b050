"""Stop drill: answers are stopped at random points from a second connection; does the model really stop?

`python -m evals.drills.stop` starts a model behind OpenAI's protocol that counts its tokens, and `footnote serve
--workers 2` before it; asks 100 questions, ten at a time, and stops each on a connection of its own, which may reach
the other worker. Exit code 1 when the model wrote more than 5 tokens after a stop was acknowledged, an acknowledgement
took 3 s, or a partial answer is not stored as its client has it.
"""

import asyncio
import random
import statistics
import time
from dataclasses import dataclass
from typing import Annotated

import httpx
import typer
from rich.console import Console
from rich.table import Table

from evals.drills.counting_model import CountingModel, counting_model
from evals.drills.fleet import fleet
from evals.drills.following import Followed, ask

QUESTION = "How do I install Footnote? Question {number}."
TOKENS_PER_S = 50.0
TOKENS = 500
ALLOWED = 5
ALLOWED_S = 3.0
SETTLED_S = 1.0


@dataclass(slots=True)
class Stop:
    """One answer that was stopped: how long that took, what the server kept, what the model wrote after it."""

    followed: Followed
    seconds: float = 0.0
    kept_chars: int = -1
    kept_tokens: int = 0
    after: int = 0
    resumed: str | None = None

    @property
    def kept(self) -> bool:
        """Whether the partial answer is stored as acknowledged, and a second reader gets it with its end."""
        f = self.followed
        stored = f.stored.get("state") == "cancelled" and f.as_stored and len(f.text) == self.kept_chars
        return stored and f.gapless and f.end == "run.cancelled" == self.resumed


def main(
    answers: Annotated[int, typer.Option(help="How many are stopped.")] = 100,
    at_once: Annotated[int, typer.Option(help="How many of them are under way at a time.")] = 10,
) -> None:
    """Ask, stop, and print the table."""
    with counting_model(TOKENS_PER_S, TOKENS) as model:
        settings = {
            "FOOTNOTE_CHAT_MODEL": "openai:counting",
            "FOOTNOTE_CHAT_BASE_URL": model.url,
            "OPENAI_API_KEY": "none-is-needed",
        }
        with fleet(2, settings) as running:
            stops = asyncio.run(_drill(running.url, model, answers, at_once))
    raise typer.Exit(0 if _print(stops) else 1)


async def _drill(url: str, model: CountingModel, answers: int, at_once: int) -> list[Stop]:
    stops = [Stop(Followed()) for _ in range(answers)]
    gate = asyncio.Semaphore(at_once)

    async def one(number: int) -> None:
        async with gate:
            await _stop(url, model, number, stops[number])

    async with asyncio.TaskGroup() as group:
        for number in range(answers):
            group.create_task(one(number))
    return stops


async def _stop(url: str, model: CountingModel, number: int, stop: Stop) -> None:
    chance = random.Random(number)  # noqa: S311 - a drill
    reading = asyncio.create_task(ask(url, QUESTION.format(number=number), stop.followed))
    while not stop.followed.run_id:  # noqa: ASYNC110 - the client does not know of us
        await asyncio.sleep(0.01)
    await asyncio.sleep(chance.uniform(0, 4))
    async with httpx.AsyncClient(base_url=url, timeout=60) as other:
        began = time.monotonic()
        answer = (await other.post(f"/v1/runs/{stop.followed.run_id}/cancel")).raise_for_status().json()
        stop.seconds = time.monotonic() - began
        at_ack = model.generated[number]
        stop.kept_chars, stop.kept_tokens = answer["text_chars"], answer["tokens"]
        await asyncio.sleep(SETTLED_S)
        stop.after = model.generated[number] - at_ack
        await reading
        events = (await other.get(f"/v1/runs/{stop.followed.run_id}/events")).text
        stop.resumed = events.rpartition("event: ")[2].partition("\n")[0]


def _print(stops: list[Stop]) -> bool:
    seconds = sorted(stop.seconds for stop in stops)
    worst = max(stop.after for stop in stops)
    kept = sum(stop.kept for stop in stops)
    table = Table("measure", "value", title="answers stopped from a second connection")
    table.add_row("stopped", str(len(stops)))
    table.add_row("tokens that the model wrote after the acknowledgement, most", str(worst))
    table.add_row("answers with any", str(sum(stop.after > 0 for stop in stops)))
    table.add_row("partial answers stored, and resumed with run.cancelled", str(kept))
    table.add_row("tokens kept, median", str(statistics.median(stop.kept_tokens for stop in stops)))
    table.add_row(
        "until the acknowledgement, p50 and p95",
        f"{statistics.median(seconds) * 1000:.0f} ms, {seconds[int(len(seconds) * 0.95) - 1] * 1000:.0f} ms",
    )
    table.add_row("the slowest", f"{seconds[-1] * 1000:.0f} ms")
    Console(soft_wrap=True).print(table)
    return worst <= ALLOWED and seconds[-1] <= ALLOWED_S and kept == len(stops)


if __name__ == "__main__":
    typer.run(main)
