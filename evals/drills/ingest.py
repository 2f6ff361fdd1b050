"""Ingestion drill: syncs that are killed, with random edits between, end as a fresh ingestion would, and waste little.

`python -m evals.drills.ingest [--docs FOLDER|ARCHIVE] [--kills 50] [--files N] [--embedder scripted|local] [--seed N]`
works on a copy of the documents (or on generated ones), on embedded installations of its own that are gone afterwards.
The embedder is behind an HTTP server of the drill, which sees every text that is embedded. Exit code 1 when a document
was visible in part, a stored text was embedded again, a kill cost more than the batches that may be ahead, or the end
differs from a fresh ingestion.
"""

import json
import random
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from app.embedded.connect import connected, environment_of
from app.providers.fakes import HashEmbedder
from app.providers.local_embedder import LocalEmbedder
from app.settings import Settings, load_settings
from app.telemetry import configure_logging
from evals.drills.edits import EVERYTHING, Tree
from evals.drills.embedding_server import EmbeddingServer, embedding_server
from evals.drills.stored import HALF, LARGEST, STORE, TEXTS, different, rows
from ingestion.pipeline import BATCH_CHUNKS, batches_ahead

LATEST_KILL_S = 6.0
console = Console(soft_wrap=True, highlight=False)


@dataclass(slots=True)
class Outcome:
    """What the drill saw; `lost` are the texts that each kill had embedded for nothing, `batch` the most it may."""

    kills: int = 0
    completed: int = 0
    half: int = 0
    again: int = 0
    lost: list[int] = field(default_factory=list)
    batch: int = 0
    embedded: int = 0
    documents: int = 0
    chunks: int = 0
    different: int = 0
    idle: Any = None
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether nothing was visible in part, done twice or different."""
        wasteful = max(self.lost, default=0) > self.batch
        return not (self.half or self.again or self.different or wasteful or self.idle["embedded"]) and self.chunks > 0


class Drill:
    """One installation whose syncs are killed."""

    def __init__(self, settings: Settings, server: EmbeddingServer, home: Path, chance: random.Random) -> None:
        self._settings = settings
        self._server = server
        self._home = home
        self._chance = chance
        self.outcome = Outcome()

    def kill_one(self) -> None:
        """Start a sync and kill it: somewhere in its embedding, or at any time."""
        before = self._begin()
        process = self._start()
        point = self._server.requests + self._chance.randint(1, 12)
        deadline = time.monotonic() + (60 if self._chance.random() < 0.7 else self._chance.random() * LATEST_KILL_S)
        while process.poll() is None and self._server.requests < point and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(self._chance.random() * 0.1)
        killed = process.poll() is None
        process.kill()
        process.communicate()
        self.outcome.kills += killed
        self.outcome.completed += not killed
        self._account(before)

    def finish(self) -> Any:
        """Sync without being killed; the report."""
        before = self._begin()
        process = self._start()
        out, _ = process.communicate()
        if process.returncode:
            console.print(out)
            raise typer.Exit(1)
        self._account(before)
        return json.loads(out.splitlines()[-1])

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query finds."""
        return rows(self._settings, query)

    def _begin(self) -> set[str]:
        """What is stored before a sync."""
        self._server.take()
        return {row[0] for row in self.rows(TEXTS)}

    def _account(self, before: set[str]) -> None:
        """Count what a sync embedded for nothing: again, or without storing it."""
        time.sleep(0.05)  # a killed client's last transaction ends
        embedded, after = Counter(self._server.take()), {row[0] for row in self.rows(TEXTS)}
        self.outcome.embedded += embedded.total()
        self.outcome.again += sum(n for text, n in embedded.items() if text in before)
        self.outcome.again += sum(n - 1 for text, n in embedded.items() if text not in before)
        self.outcome.lost.append(sum(text not in after for text in embedded))
        self.outcome.half += self.rows(HALF)[0][0]
        self.outcome.batch = max(self.outcome.batch, batches_ahead(1) * max(BATCH_CHUNKS, self.rows(LARGEST)[0][0]))

    def _start(self) -> subprocess.Popen[str]:
        environment = environment_of(self._settings) | {
            "FOOTNOTE_EMBEDDER": "openai:drill",
            "FOOTNOTE_EMBEDDER_BASE_URL": self._server.url,
            "FOOTNOTE_SOURCES_FILE": str(self._home / "footnote.toml"),
        }
        command = [sys.executable, "-m", "app.cli", "sync", "drill", "--prune", "--max-prune-share", "1", "--json"]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def drill(
    home: Path, server: EmbeddingServer, docs: Path | None, *, kills: int, files: int, chance: random.Random
) -> Outcome:
    """Kill syncs of a changing copy of the documents, and compare the end with a fresh ingestion of it."""
    started = time.monotonic()
    tree = Tree.of(docs, home / "docs", chance, files=files)
    (home / "footnote.toml").write_text('[sources.drill]\ntype = "files"\npaths = ["docs"]\ncollection = "drill"\n')
    with ExitStack() as stack:
        runs = []
        for name in ("killed", "fresh"):
            settings = stack.enter_context(connected(load_settings(data_dir=home / name), share=False))
            runs.append(Drill(settings, server, home, chance))
        killed, fresh = runs
        while killed.outcome.kills < kills:
            killed.kill_one()
            tree.edit()
            console.print(f"kill {killed.outcome.kills} of {kills}: {killed.outcome.lost[-1]} texts lost", style="dim")
        killed.finish()
        outcome = killed.outcome
        outcome.idle = killed.finish()
        fresh.finish()
        ended, wanted = killed.rows(STORE), fresh.rows(STORE)
        outcome.documents, outcome.chunks = len({row[0] for row in wanted}), len(wanted)
        outcome.different = different(ended, wanted)
    outcome.seconds = time.monotonic() - started
    return outcome


def main(
    docs: Annotated[Path | None, typer.Option(help="A folder or tar archive of documents; generated without.")] = None,
    kills: Annotated[int, typer.Option(min=1, help="How many syncs are killed.")] = 50,
    files: Annotated[int, typer.Option(min=1, help="At most so many files of it.")] = EVERYTHING,
    embedder: Annotated[str, typer.Option(help="`scripted`, which is fast, or `local`.")] = "scripted",
    seed: Annotated[int | None, typer.Option(help="Of the edits and of the times of the kills.")] = None,
) -> None:
    """Run the drill and print its table."""
    configure_logging(level="warning", json=False)
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    files = min(files, 400) if docs is None else files
    model = LocalEmbedder(threads=2) if embedder == "local" else HashEmbedder(64)
    with TemporaryDirectory(prefix="fn-drill-") as folder, embedding_server(model) as server:
        outcome = drill(Path(folder), server, docs, kills=kills, files=files, chance=chance)
    table = Table("", "", show_header=False, box=None, padding=(0, 1))
    for name, value in _lines(outcome):
        table.add_row(name, value)
    console.print(table)
    if not outcome.passed:
        raise typer.Exit(1)


def _lines(outcome: Outcome) -> list[tuple[str, str]]:
    lost = sorted(outcome.lost)
    return [
        ("syncs killed (kill -9)", f"{outcome.kills}, and {outcome.completed} that ended before"),
        ("documents, chunks at the end", f"{outcome.documents}, {outcome.chunks}"),
        ("chunks that differ from a fresh ingestion", str(outcome.different)),
        ("versions visible in part, after any kill", str(outcome.half)),
        ("texts embedded", str(outcome.embedded)),
        ("texts embedded although they were stored", str(outcome.again)),
        ("texts embedded for nothing: a kill's most, all", f"{lost[-1]} of {outcome.batch} allowed, {sum(lost)}"),
        ("a last sync without changes", f"{outcome.idle['embedded']} embedded, {outcome.idle['seconds']:.2f} s"),
        ("seconds", f"{outcome.seconds:.0f}"),
    ]


if __name__ == "__main__":
    typer.run(main)
