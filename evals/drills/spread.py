"""Spread drill: ingestion on two Ray nodes, one of which is killed, beside one node and this process alone.

`python -m evals.drills.spread [--docs FOLDER|ARCHIVE] [--files 60] [--embedder local|scripted]`: every node has one
processor, and so has the run without a cluster. Exit code 1 when a store differs from that of the run without one.
"""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from app.embedded.connect import connected, environment_of
from app.settings import Settings, load_settings
from app.telemetry import configure_logging
from evals.drills.cluster import LocalCluster
from evals.drills.edits import Tree
from evals.drills.stored import HALF, STORE, different, rows

console = Console(width=120, soft_wrap=True, highlight=False)


@dataclass(slots=True)
class Run:
    """One way to ingest the documents: what it took, and how its store differs from the first one's."""

    name: str
    seconds: float
    chunks: int
    embedded: int
    different: int
    half: int


class Drill:
    """Ingests a tree of documents in several ways, each into an installation of its own."""

    def __init__(self, home: Path, tree: Tree, embedder: str) -> None:
        self._home = home
        self._tree = tree
        self._embedder = embedder
        self._wanted: list[tuple[Any, ...]] | None = None
        self.runs: list[Run] = []

    def run(
        self,
        name: str,
        cluster: LocalCluster | None = None,
        *,
        at: float = 0.5,
        fault: Callable[[int], None] | None = None,
    ) -> None:
        """Ingest, and again if that failed; `fault` is called with the pid at the share `at` of the embedding."""
        console.print(f"{name} …", style="dim")
        data = self._home / f"data-{len(self.runs)}"
        with connected(load_settings(data_dir=data), share=False) as settings:
            ended, embedded, seconds = self._ingest(settings, cluster, at, fault)
            if ended["event"] != "done":
                again, more, longer = self._ingest(settings, cluster, 1.0, None)
                ended, embedded, seconds = again, embedded + more, seconds + longer
            if ended["event"] != "done" or ended["failures"]:
                raise RuntimeError(f"{name} ended with {ended}")
            found, half = rows(settings, STORE), rows(settings, HALF)[0][0]
        self._wanted = self._wanted or found
        self.runs.append(Run(name, seconds, len(found), embedded, different(found, self._wanted), half))

    def _ingest(
        self, settings: Settings, cluster: LocalCluster | None, at: float, fault: Callable[[int], None] | None
    ) -> tuple[dict[str, Any], int, float]:
        """The last event of `footnote ingest`, how many texts it said to have embedded, and its seconds."""
        environment = environment_of(settings) | {
            "FOOTNOTE_EMBEDDER": self._embedder,
            "FOOTNOTE_EMBEDDER_THREADS": "1",
            "RAY_ADDRESS": cluster.address if cluster else "",
        }
        command = [sys.executable, "-m", "app.cli", "ingest", str(self._tree.folder), "--json"]
        command += ["--on", "ray"] if cluster else []
        event: dict[str, Any] = {}
        started, embedded = perf_counter(), 0
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None  # noqa: S101 - a pipe
            for line in process.stdout:
                event = json.loads(line)
                embedded = event["embedded"]
                if fault is not None and event["read"] == event["files"] and event["ready"] >= at * event["cut"]:
                    fault(process.pid)
                    fault = None
        if fault is not None:
            raise RuntimeError("it was done before its fault: take more files")
        # the last event before a kill may be a second old, so `embedded` is a lower bound there
        return event, embedded, perf_counter() - started


def main(
    docs: Annotated[Path | None, typer.Option(help="A folder or tar archive of documents; generated without.")] = None,
    files: Annotated[int, typer.Option(min=1, help="At most so many files of it.")] = 60,
    embedder: Annotated[str, typer.Option(help="`local`, or `scripted`, which is fast.")] = "local",
) -> None:
    """Run the drill and print its table."""
    configure_logging(level="warning", json=False)
    with TemporaryDirectory(prefix="fn-drill-") as folder:
        tree = Tree.of(docs, Path(folder) / "docs", random.Random(3), files=files)  # noqa: S311 - a drill
        drill = Drill(Path(folder), tree, embedder)
        drill.run("without a cluster")
        with LocalCluster(1) as cluster:
            drill.run("one node", cluster)
        with LocalCluster(1, 1) as cluster:
            drill.run("two nodes", cluster)
            drill.run("two, command killed half-way, run again", cluster, fault=_kill)
            drill.run("two, one of them killed half-way", cluster, fault=lambda _pid: cluster.nodes[1].kill())
    table = Table("", "s", "chunks/s", "÷ one node", "chunks", "embedded", "different", "in part")
    one = drill.runs[1].seconds
    for run in drill.runs:
        rate, up = f"{run.chunks / run.seconds:.1f}", f"{one / run.seconds:.2f}"
        counts = (run.chunks, run.embedded, run.different, run.half)
        table.add_row(run.name, f"{run.seconds:.1f}", rate, up, *map(str, counts))
    console.print(table)
    if any(run.different or run.half for run in drill.runs):
        raise typer.Exit(1)


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    typer.run(main)
