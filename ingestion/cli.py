"""Command line of ingestion: `footnote ingest`."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import Annotated, TextIO

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from app.domain.document import MOST_NAME_CHARS
from app.domain.errors import InvalidInput
from app.embedded.connect import connected
from app.settings import Settings, load_settings
from app.telemetry import configure_logging
from ingestion.changes import Changes
from ingestion.context_cost import contexts_said
from ingestion.loaders.json_fields import JsonFields
from ingestion.opening import check_address, opened, opened_database
from ingestion.pipeline import Report
from ingestion.pipeline import ingest as run_pipeline
from ingestion.sources.files import SourceFile, find_files

EVENT_S = 1.0  # between two events
console = Console(stderr=True)

On = Annotated[
    str | None,
    typer.Option(
        callback=check_address,
        help="Parse and embed on a Ray cluster: `ray` (this machine is part of it) or `ray://HOST:PORT`.",
    ),
]

Again = Annotated[
    bool, typer.Option("--again", help="Read anew what has not changed too, after an update that reads it better.")
]


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders.", show_default=False)],
    collection: Annotated[str, typer.Option(help="Collection that the documents go to.")] = "default",
    data_dir: Annotated[Path | None, typer.Option(help="Where the embedded services keep their data.")] = None,
    on: On = None,
    again: Again = False,
    json: Annotated[bool, typer.Option("--json", help="Print progress and report as lines of JSON.")] = False,
    json_text: Annotated[
        list[str] | None,
        typer.Option(
            metavar="POINTER", help="Make a document of each record of JSON files: where in it the text is, as /body."
        ),
    ] = None,
    json_title: Annotated[str | None, typer.Option(metavar="POINTER", help="Where its title is.")] = None,
    json_metadata: Annotated[
        list[str] | None, typer.Option(metavar="POINTER", help="Where metadata are; also NAME=POINTER.")
    ] = None,
    json_key: Annotated[
        list[str] | None, typer.Option(metavar="POINTER", help="What tells it from others; else its place.")
    ] = None,
    json_records: Annotated[
        str | None, typer.Option(metavar="POINTER", help="Where in a JSON document the list of records is.")
    ] = None,
) -> None:
    """Bring documents into a collection: texts, HTML, PDF, Office files, mail, archives and more.

    Unchanged files are skipped, unless `--again`; one bad file never stops the rest. Exit code 0: all files are in; 1:
    some could not be read, each is named with its reason; 2: nothing could be done.
    """
    configure_logging(level="warning", json=False)
    others = (json_title, json_metadata, json_key, json_records)
    if not json_text and any(one is not None for one in others):
        raise InvalidInput("Say where the text of each record of JSON is: --json-text POINTER.")
    fields = JsonFields(json_text, json_title, json_metadata or (), json_key or (), json_records) if json_text else None
    if not collection.strip() or len(collection) > MOST_NAME_CHARS:
        raise InvalidInput(f"The name of a collection has 1 to {MOST_NAME_CHARS} characters, or no client can ask it.")
    sources = find_files(paths, fields)
    with connected(load_settings(data_dir=data_dir)) as settings, Bar(visible=not json) as bar:
        report = asyncio.run(ingest_files(settings, sources, collection, Events() if json else bar, on=on, again=again))
    if json:
        print_event("done", asdict(report))
    else:
        for failure in report.failures:
            said = escape(f"{failure.uri}: {failure.reason}")
            console.print(f"[red]not ingested[/] {said}", highlight=False, soft_wrap=True)
        console.print(
            f"{report.ingested} documents ingested into “{collection}” ({report.chunks} chunks"
            f"{contexts_said(report.contexts, report.empty_contexts)}), {report.unchanged} "
            f"unchanged, {len(report.failures)} failed, in {report.seconds:.1f} s",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    if report.failures:
        raise typer.Exit(1)


async def ingest_files(
    settings: Settings,
    sources: Sequence[SourceFile],
    collection: str,
    progress: Callable[[Report], None],
    *,
    on: str | None = None,
    again: bool = False,
) -> Report:
    """Ingest files into a collection of DATABASE_URL, made when missing; see `ingestion.pipeline.ingest`.

    `on` is where they are parsed and embedded, see `ingestion.opening.opened`; `again`: unchanged ones too.
    """
    async with opened_database(settings) as database, opened(database, settings, collection, on=on) as run:
        changes = Changes(await run.inventory.documents(), again=again)
        report = await run_pipeline(sources, changes, run, progress)
        await run.inventory.claim(None, changes.unchanged)
    return report


class Bar:
    """A bar for each stage of an ingestion; a context manager, called with the report as it stands."""

    def __init__(self, *, visible: bool, what: str = "ingesting") -> None:
        self._what = what
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not visible,
        )
        self._tasks: list[TaskID] = []
        self._contexts: TaskID | None = None
        self._indexes: TaskID | None = None

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __call__(self, report: Report) -> None:
        """Show how far it is."""
        if not self._tasks:
            stages = ((f"{self._what}: reading", "files"), ("embedding", "chunks"), ("writing", "chunks"))
            self._tasks = [self._progress.add_task(name, unit=unit, total=None) for name, unit in stages]
        # how many chunks there are is known when the last file is read
        chunks = report.cut if report.read == report.files else None
        counts = ((report.read, report.files), (report.ready, chunks), (report.chunks, chunks))
        for task, (done, total) in zip(self._tasks, counts, strict=True):
            self._progress.update(task, total=total, completed=done)
        if report.contexts:
            if self._contexts is None:
                self._contexts = self._progress.add_task("contexts", unit="asked of the model", total=None)
            self._progress.update(self._contexts, completed=report.contexts)
        if report.indexing and self._indexes is None:
            self._indexes = self._progress.add_task("building the search indexes", unit="", total=None)
        elif self._indexes is not None and not report.indexing:
            self._progress.update(self._indexes, total=1, completed=1)

    def __exit__(self, *_error: object) -> None:
        self._progress.stop()


class Events:
    """A line of JSON a second while an ingestion runs: its report as it stands, without the failures."""

    def __init__(self, **about: str) -> None:
        self._about = about
        self._output = sys.stdout  # as it is now: what may print to it meanwhile is sent elsewhere
        self._next = 0.0

    def __call__(self, report: Report) -> None:
        """Print one, when it is time."""
        if monotonic() < self._next:
            return
        self._next = monotonic() + EVENT_S
        counts = {key: value for key, value in asdict(report).items() if value != []}
        print_event("progress", {**self._about, **counts}, self._output)


def print_event(event: str, about: dict[str, object], output: TextIO | None = None) -> None:
    """One line of JSON on standard output, at once."""
    output = output or sys.stdout
    output.write(msgspec.json.encode({"event": event, **about}).decode() + "\n")
    output.flush()
