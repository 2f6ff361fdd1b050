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

from app.domain.principal import Principal
from app.embedded.connect import connected
from app.providers.embedder import make_embedder
from app.settings import Settings, load_settings
from app.storage.documents import DocumentStore
from app.storage.engine import Database
from app.storage.generations import ensure_generation
from app.storage.schema import require_current
from ingestion.chunking.structure import chunker_id
from ingestion.files import SourceFile, find_files
from ingestion.pipeline import Destination, Report
from ingestion.pipeline import ingest as run_pipeline

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
    with connected(load_settings(data_dir=data_dir)) as settings, _bar(len(sources), visible=not json) as progress:
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
    assert settings.database_url is not None  # noqa: S101 - `connected` sets it
    principal = Principal()
    database = Database(settings.database_url.get_secret_value(), pool_size=2)
    embedder = make_embedder(settings)
    await database.open()
    try:
        await require_current(database)
        store = DocumentStore(database)
        generation = await ensure_generation(
            database,
            embedder=embedder.name,
            dimensions=embedder.dimensions,
            chunker=chunker_id(settings.chunk_tokens),
        )
        destination = Destination(
            principal=principal,
            collection_id=await store.ensure_collection(principal.workspace_id, collection),
            generation=generation,
            text_search_config=settings.text_search_config,
            chunk_tokens=settings.chunk_tokens,
            max_file_bytes=settings.max_file_bytes,
        )
        return await run_pipeline(sources, store, embedder, destination, progress)
    finally:
        await embedder.close()
        await database.close()


class _bar:  # noqa: N801 - used as a context manager
    """A progress bar over the files."""

    def __init__(self, files: int, *, visible: bool) -> None:
        self._progress = Progress(
            TextColumn("ingesting"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[chunks]} chunks"),
            TimeElapsedColumn(),
            console=console,
            disable=not visible,
        )
        self._task = self._progress.add_task("files", total=files, chunks=0)

    def __enter__(self) -> "_bar":
        self._progress.start()
        return self

    def __call__(self, report: Report) -> None:
        done = report.ingested + report.unchanged + len(report.failures)
        self._progress.update(self._task, completed=done, chunks=report.chunks)

    def __exit__(self, *_error: object) -> None:
        self._progress.stop()
