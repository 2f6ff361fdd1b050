"""Formats drill: every file of a folder through its loader; what was read, what refused, and at what cost.

`python -m evals.drills.formats FOLDER [--list]` reads each file in a process that is replaced when it dies or takes
more than a minute, and prints a table by format. `--list` names every file that was refused, with the reason. Exit code
1 when a loader crashed, hung, or let an error escape that is not a refusal.
"""

import resource
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.domain.document import ParsedDocument
from app.domain.errors import UnreadableFile
from ingestion.loaders.dispatch import is_archive, load, members
from ingestion.loaders.member import Member

LONGEST_S = 60
MEMORY_BYTES = 4 * 1024**3
console = Console(soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file: `reason` of a refusal or crash, characters of text, headings, seconds, peak memory."""

    path: Path
    kind: str
    end: Literal["read", "refused", "wrong"]
    reason: str = ""
    chars: int = 0
    headings: int = 0
    seconds: float = 0.0
    peak_mb: int = 0


def main(
    folder: Annotated[Path, typer.Argument(help="Searched for files, in its folders too.")],
    list_refused: Annotated[bool, typer.Option("--list", help="Name every file that was refused.")] = False,
) -> None:
    """Read everything, and print the table."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    outcomes = _all(files)
    _print(outcomes)
    for outcome in outcomes:
        if outcome.end == "wrong" or (list_refused and outcome.end == "refused"):
            console.print(
                f"{outcome.end}: {outcome.path.relative_to(folder)}: {escape(outcome.reason)}", highlight=False
            )
    raise typer.Exit(1 if any(outcome.end == "wrong" for outcome in outcomes) else 0)


def _all(files: list[Path]) -> list[Outcome]:
    outcomes, pool = [], _pool()
    for path in files:
        began = time.monotonic()
        try:
            outcomes.append(pool.submit(_one, path).result(LONGEST_S))
        except (TookTooLong, BrokenProcessPool) as error:
            reason = "took more than a minute" if isinstance(error, TookTooLong) else "the process died"
            outcomes.append(Outcome(path, _kind(path), "wrong", reason, seconds=time.monotonic() - began))
            _end(pool)
            pool = _pool()
    pool.shutdown()
    return outcomes


def _pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_limit)


def _end(pool: ProcessPoolExecutor) -> None:
    for process in list((pool._processes or {}).values()):
        process.kill()
    pool.shutdown(wait=False, cancel_futures=True)


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def _one(path: Path) -> Outcome:
    began, kind = time.perf_counter(), _kind(path)
    try:
        data = path.read_bytes()
        inner = members(path, data) if data.strip() else ()
        documents = [] if is_archive(path, data) else [load(path, data)]
        documents += [one for member in inner if (one := _inner(member)) is not None]
    except UnreadableFile as error:
        return Outcome(path, kind, "refused", error.message, seconds=time.perf_counter() - began)
    except Exception as error:  # noqa: BLE001 - what escapes is what this looks for
        return Outcome(path, kind, "wrong", repr(error), seconds=time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    seconds = time.perf_counter() - began
    chars, headings = sum(len(one.text) for one in documents), sum(len(one.headings) for one in documents)
    return Outcome(path, kind, "read", "", chars, headings, seconds, peak)


def _inner(member: Member) -> ParsedDocument | None:
    """The document of a file in a file; one that is refused costs itself alone."""
    try:
        return load(Path(member.name), member.data)
    except UnreadableFile:
        return None


def _kind(path: Path) -> str:
    return path.suffix.lower() or "none"


def _print(outcomes: list[Outcome]) -> None:
    by_kind: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_kind[outcome.kind].append(outcome)
    table = Table(
        "suffix", "files", "read", "refused", "wrong", "characters", "headings", "slowest s", "peak MB", title="loaders"
    )
    rows = sorted(by_kind.items(), key=lambda item: -len(item[1]))
    for kind, of in [*rows, ("all", outcomes)]:
        counts = [sum(o.end == end for o in of) for end in ("read", "refused", "wrong")]
        table.add_row(
            kind,
            str(len(of)),
            *map(str, counts),
            f"{sum(o.chars for o in of):,}",
            f"{sum(o.headings for o in of):,}",
            f"{max(o.seconds for o in of):.1f}",
            str(max(o.peak_mb for o in of)),
        )
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
