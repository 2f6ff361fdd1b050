"""Command line of ingestion: `footnote ingest`."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from app.embedded.connect import connected
from app.settings import Settings, load_settings
from ingestion.changes import Changes
from ingestion.opening import opened, opened_database
from ingestion.pipeline import Report
from ingestion.pipeline import ingest as run_pipeline
from ingestion.sources.files import SourceFile, find_files

console = Console(stderr=True)


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders.", show_default=False)],
    collection: Annotated[str, typer.Option(help="Collection that the documents go to.")] = "default",
    data_dir: Annotated[Path | None, typer.Option(help="Where the embedded services keep their data.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON, without a progress bar.")] = False,
) -> None:
    """Bring documents into a collection: Markdown, reStructuredText, text, HTML, PDF, DOCX.

    Unchanged files are skipped; one bad file never stops the rest. Exit code 0: all files are in; 1: some could not be
    read, each is named with its reason; 2: nothing could be done.
    """
    sources = find_files(paths)
    with connected(load_settings(data_dir=data_dir)) as settings, Bar(len(sources), visible=not json) as progress:
        report = asyncio.run(ingest_files(settings, sources, collection, progress))
    if json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    else:
        for failure in report.failures:
            console.print(f"[red]not ingested[/] {failure.uri}: {failure.reason}", highlight=False, soft_wrap=True)
        console.print(
            f"{report.ingested} documents ingested into “{collection}” ({report.chunks} chunks), {report.unchanged} "
            f"unchanged, {len(report.failures)} failed, in {report.seconds:.1f} s",
            highlight=False,
            soft_wrap=True,
        )
    if report.failures:
        raise typer.Exit(1)


async def ingest_files(
    settings: Settings, sources: Sequence[SourceFile], collection: str, progress: Callable[[Report], None]
) -> Report:
    """Ingest files into a collection of DATABASE_URL, both made when missing; see `ingestion.pipeline.ingest`."""
    async with opened_database(settings) as database, opened(database, settings, collection) as run:
        changes = Changes(await run.inventory.documents())
        report = await run_pipeline(sources, changes, run.store, run.embed, run.destination, progress)
        await run.inventory.claim(None, changes.unchanged)
    return report


class Bar:
    """A progress bar over documents; a context manager, called with the report as it stands."""

    def __init__(self, files: int | None, *, visible: bool, what: str = "ingesting") -> None:
        """`files` None: the report tells how many there are."""
        self._progress = Progress(
            TextColumn(what),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[chunks]} chunks"),
            TimeElapsedColumn(),
            console=console,
            disable=not visible,
        )
        self._task = self._progress.add_task("files", total=files, chunks=0)

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __call__(self, report: Report) -> None:
        """Show how far it is."""
        done = report.ingested + report.unchanged + len(report.failures)
        self._progress.update(self._task, total=report.files, completed=done, chunks=report.chunks)

    def __exit__(self, *_error: object) -> None:
        self._progress.stop()
