"""Command line of syncing: `footnote sync`."""

import asyncio
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.domain.errors import FootnoteError, InvalidInput
from app.embedded.connect import connected
from app.settings import Settings, load_settings
from app.telemetry import configure_logging
from ingestion.cli import Again, Bar, Events, On, print_event
from ingestion.context_cost import contexts_said
from ingestion.sources.declared import Declared, named_sources, read_sources
from ingestion.sync import SyncOptions, SyncReport
from ingestion.sync import sync as run_sync

console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def sync(
    names: Annotated[list[str] | None, typer.Argument(help="Sources declared in footnote.toml.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every declared source.")] = False,
    prune: Annotated[
        bool | None,
        typer.Option("--prune/--no-prune", help="Delete documents that vanished; else what the source declares."),
    ] = None,
    max_prune_share: Annotated[
        float | None, typer.Option(min=0, max=1, help="Largest share of a source's documents that may be deleted.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be done.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for another sync of the source to end.")] = False,
    on: On = None,
    again: Again = False,
    data_dir: Annotated[Path | None, typer.Option(help="Where the embedded services keep their data.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print progress and reports as lines of JSON.")] = False,
) -> None:
    """Bring collections up to date with the sources declared in footnote.toml.

    Exit code 0: all is in sync; 1: some documents or sources could not be synced, each is named with its reason;
    2: nothing could be done.
    """
    if bool(names) == every:
        raise InvalidInput("Name the sources to sync, or all of them with --all.")
    configure_logging(level="warning", json=False)
    loaded = load_settings(data_dir=data_dir)
    sources = named_sources(loaded.sources_file, names or [], every=every)
    declared = frozenset(read_sources(loaded.sources_file))
    options = SyncOptions(prune, max_prune_share, dry_run, wait, on, again, declared)
    with connected(loaded) as settings:
        whole = [_sync_one(settings, source, options, json=json) for source in sources]
    if not all(whole):
        raise typer.Exit(1)


def _sync_one(settings: Settings, declared: Declared, options: SyncOptions, *, json: bool) -> bool:
    """Sync one source and print what was done; False when not all of it could be."""
    try:
        with Bar(visible=not json, what=declared.name) as bar:
            progress = Events(source=declared.name) if json else bar
            report = asyncio.run(run_sync(settings, declared, options, progress))
    except FootnoteError as error:
        console.print(f"{declared.name}: {error.for_operators}")
        if json:
            print_event("failed", {"source": declared.name, "error": error.for_operators})
        return False
    if json:
        print_event("done", asdict(report))
    else:
        _print(report)
    return not report.failures and report.refused is None


def _print(report: SyncReport) -> None:
    for step in report.plan:
        origin = f"  (was {step.moved_from})" if step.moved_from else ""
        sys.stdout.write(f"{step.action:8}{step.uri}{origin}\n")
    for failure in report.failures:
        console.print(f"not synced {failure.uri}: {failure.reason}")
    if report.refused:
        console.print(report.refused)
    kept = report.vanished - report.deleted
    if kept and not report.refused and not report.dry_run:
        console.print(f"{kept} documents are no longer in {report.source}; `--prune` deletes them")
    counts = f"{report.added} added, {report.changed} changed, {report.moved} moved, {report.unchanged} unchanged"
    gone = f"{report.vanished} vanished" if report.dry_run else f"{report.deleted} deleted"
    console.print(
        f"{report.source} → “{report.collection}”{' (dry run)' if report.dry_run else ''}: {counts}, {gone}, "
        f"{len(report.failures)} failed; {report.embedded} of {report.chunks} chunks embedded"
        f"{contexts_said(report.contexts, report.empty_contexts)}, {report.seconds:.1f} s"
    )
    if report.context_cost is not None:
        console.print(report.context_cost.said())
