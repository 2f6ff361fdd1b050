"""Chats: many at once over HTTP with the scripted model: what got lost, what was stored, how long the loop stood still.

`python -m evals.drills.chats [--chats N] [--words N]` starts `footnote up` in a temporary folder, with the handbook as
its corpus, asks all questions at the same moment, and prints a table. It demands nothing.
"""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import httpx
import msgspec
import typer
from rich.console import Console
from rich.table import Table

from app.domain.errors import ServiceDidNotStart
from app.embedded.services import owner_of
from evals.event_stream import read_events

QUESTION = "How do I install Footnote? [[tokens={words}]]"
ENDS = {"run.completed", "run.cancelled", "run.failed"}
START_S = 240
_LAG = re.compile(r"^footnote_event_loop_lag_seconds_max (\S+)", re.MULTILINE)


@dataclass(slots=True)
class Answer:
    """What one client saw: the ids and types of its events, the text, and how the stored message compares."""

    ids: list[int] = field(default_factory=list)
    deltas: int = 0
    text: str = ""
    end: str | None = None
    problem: str | None = None
    conversation_id: str = ""
    stored_equals: bool = False

    @property
    def lost(self) -> int:
        """Ids up to the last one that never came, and the run's end when that is missing."""
        return max(self.ids, default=0) - len(set(self.ids)) + (self.end is None)

    @property
    def repeated(self) -> int:
        """Events that came more than once."""
        return len(self.ids) - len(set(self.ids))

    def add(self, event_id: int, kind: str, data: dict[str, Any]) -> None:
        """Take one event."""
        self.ids.append(event_id)
        if kind == "run.started":
            self.conversation_id = data["conversation_id"]
        elif kind == "text.delta":
            self.deltas += 1
            self.text += data["text"]
        elif kind == "text.rewind":
            self.text = self.text[: data["to"]]
        elif kind in ENDS:
            self.end = kind
            self.problem = data.get("problem", {}).get("code")


def main(
    chats: Annotated[int, typer.Option(help="How many at once.")] = 50,
    words: Annotated[int, typer.Option(help="Length of each answer.")] = 200,
) -> None:
    """Start a server, ask, and print the table."""
    with server() as url:
        started = time.perf_counter()
        answers, lag_s = asyncio.run(ask_all(url, chats, words))
        print_table(answers, lag_s, time.perf_counter() - started)


@contextmanager
def server() -> Iterator[str]:
    """`footnote up` in a process and a folder of its own, until the block ends; yields its URL.

    Raises ServiceDidNotStart.
    """
    with TemporaryDirectory(prefix="footnote-drill-") as folder:
        environment = os.environ | {
            "FOOTNOTE_CHAT_MODEL": "scripted",
            "FOOTNOTE_MIN_EVIDENCE": "0",
            "FOOTNOTE_LOG_LEVEL": "warning",
        }
        command = [sys.executable, "-m", "app.cli", "up", "--port", "0", "--data-dir", folder]
        with subprocess.Popen(command, env=environment) as process:
            try:
                yield _address(Path(folder), process)
            finally:
                process.terminate()


def _address(folder: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        owner = owner_of(folder)
        if owner is not None and owner.address is not None:
            return owner.address
        time.sleep(0.1)
    raise ServiceDidNotStart("`footnote up` did not start; its own lines above say why.")


async def ask_all(url: str, chats: int, words: int) -> tuple[list[Answer], float]:
    """All answers, and the longest time in seconds that the server's event loop was blocked in the last minute."""
    limits = httpx.Limits(max_connections=chats)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as client:
        answers = await asyncio.gather(*(_ask(client, QUESTION.format(words=words)) for _ in range(chats)))
        metrics = (await client.get("/metrics")).text
        for answer in answers:
            conversation = (await client.get(f"/v1/conversations/{answer.conversation_id}")).raise_for_status().json()
            answer.stored_equals = conversation["messages"][-1]["text"] == answer.text
    lag = _LAG.search(metrics)
    return answers, float(lag[1]) if lag else float("nan")


async def _ask(client: httpx.AsyncClient, question: str) -> Answer:
    answer = Answer()
    async with client.stream("POST", "/v1/chat", json={"message": question}) as response:
        response.raise_for_status()
        async for event in read_events(response):
            answer.add(event.id, event.type, msgspec.json.decode(event.data))
    return answer


def print_table(answers: list[Answer], lag_s: float, seconds: float) -> None:
    """The figures."""
    table = Table("measure", "value", title="chats at once")
    table.add_row("chats", str(len(answers)))
    table.add_row("of them completed", str(sum(answer.end == "run.completed" for answer in answers)))
    problems = Counter(answer.problem for answer in answers if answer.problem)
    table.add_row("problems of the others", ", ".join(f"{code} {n}" for code, n in problems.items()) or "none")
    table.add_row("events", str(sum(len(answer.ids) for answer in answers)))
    table.add_row("lost", str(sum(answer.lost for answer in answers)))
    table.add_row("repeated", str(sum(answer.repeated for answer in answers)))
    table.add_row("stored message equal to the joined deltas", str(sum(answer.stored_equals for answer in answers)))
    table.add_row("longest block of the event loop", f"{lag_s * 1000:.0f} ms")
    table.add_row("load of the machine (1 minute)", f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    table.add_row("seconds", f"{seconds:.1f}")
    Console(soft_wrap=True).print(table)


if __name__ == "__main__":
    typer.run(main)
