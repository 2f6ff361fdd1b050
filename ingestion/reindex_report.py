"""Reindex report: the progress bar and the tables of `footnote reindex`."""

from datetime import datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ingestion.generations import Status
from ingestion.reindex import Report
from ingestion.verify import LEAST_RECALL, SAMPLE, Verification


class ReindexBar:
    """A progress bar over the documents, with the stage before it."""

    def __init__(self, console: Console, *, visible: bool) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("documents"),
            TimeElapsedColumn(),
            console=console,
            disable=not visible,
        )
        self._task = self._progress.add_task("building", total=None)

    def __enter__(self) -> "ReindexBar":
        self._progress.start()
        return self

    def __call__(self, report: Report) -> None:
        """Show the report as it stands."""
        self._progress.update(
            self._task,
            description=f"{report.stage} generation {report.generation}",
            total=report.documents or None,
            completed=report.documents - report.pending,
        )

    def __exit__(self, *_error: object) -> None:
        self._progress.stop()


def verification_table(found: Verification) -> Table:
    """What the verification found, and what it should be."""
    table = Table("", "found", "wanted", box=None, padding=(0, 1))
    table.add_row("documents", str(found.documents), "")
    table.add_row("  written meanwhile, taken in with the flip", str(found.incomplete), "")
    table.add_row("chunks", str(found.chunks), "")
    table.add_row("  without words", str(found.without_words), "0")
    table.add_row("counts of BM25 that are wrong", str(found.wrong_statistics), "0")
    table.add_row("  of replaced versions", str(found.stale), "0")
    table.add_row(f"recall@10 against exact search, {SAMPLE} vectors", _figure(found.recall_at_10), f"≥ {LEAST_RECALL}")
    table.add_row("overlap@10 with the live generation, dense leg", _figure(found.overlap_at_10), "told only")
    return table


def generations_table(status: Status) -> Table:
    """A row a generation."""
    table = Table(
        "id", "state", "embedder", "dimensions", "chunker", "documents", "chunks", "indexes", "since", box=None
    )
    for one in status.generations:
        of, progress = one.overview, one.progress
        table.add_row(
            str(of.id),
            of.state,
            of.embedder,
            str(of.dimensions),
            of.chunker,
            f"{progress.documents - progress.pending} of {progress.documents}",
            str(of.chunks),
            {True: "yes", False: "broken off", None: "not yet"}[of.indexed],
            _time(of.retired_at or of.activated_at or of.created_at),
        )
    return table


def _figure(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"


def _time(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
