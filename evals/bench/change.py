"""Change benchmark: what `footnote sync` does, and how long, when one paragraph of one file has changed.

`python -m evals.bench.change --docs FOLDER|ARCHIVE [--rounds 5]`, in an embedded PostgreSQL of its own that runs
already.
"""

import json
import random
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Annotated, Any

import typer
from rich.console import Console

from app.embedded.connect import connected, environment_of
from app.settings import Settings, load_settings
from evals.bench.tables import number, print_rows
from evals.drills.edits import EVERYTHING, Tree

console = Console(soft_wrap=True, highlight=False)


def main(
    docs: Annotated[Path, typer.Option(help="A folder or tar archive of text files.")],
    files: Annotated[int, typer.Option(help="At most so many of them.")] = EVERYTHING,
    rounds: Annotated[int, typer.Option(help="How often a paragraph changes.")] = 5,
) -> None:
    """Sync the documents once, then change one paragraph and sync, a few times; print the table."""
    chance = random.Random(1)  # noqa: S311 - a benchmark
    with TemporaryDirectory(prefix="fn-bench-") as home:
        tree = Tree.of(docs, Path(home) / "docs", chance, files=files)
        declared = Path(home) / "footnote.toml"
        declared.write_text('[sources.docs]\ntype = "files"\npaths = ["docs"]\n')
        with connected(load_settings(data_dir=Path(home) / "data")) as settings:
            console.print("the first sync", style="dim")
            first, _ = _sync(settings, declared)
            whole = first["added"]
            rows, idle = [], [_sync(settings, declared)[1] for _ in range(rounds)]
            for _ in range(rounds):
                tree.reword()
                rows.append(_sync(settings, declared))
    table = [
        ("documents in the source", number(whole, 0)),
        ("documents parsed", number(max(report["changed"] for report, _ in rows), 0)),
        ("chunks embedded, at most", number(max(report["embedded"] for report, _ in rows), 0)),
        ("seconds of the command, median", number(median(seconds for _, seconds in rows), 2)),
        ("seconds without a change, median", number(median(idle), 2)),
        ("seconds of the sync in it, median", number(median(report["seconds"] for report, _ in rows), 2)),
    ]
    print_rows(f"One paragraph changed, {rounds} times", ("", ""), table)


def _sync(settings: Settings, declared: Path) -> tuple[dict[str, Any], float]:
    """The report of a sync by the command line, and how long that took."""
    environment = environment_of(settings) | {"FOOTNOTE_SOURCES_FILE": str(declared)}
    started = perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "sync", "docs", "--json"],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1]), perf_counter() - started


if __name__ == "__main__":
    typer.run(main)
