"""Command line of the queue: `footnote worker`, `footnote jobs`."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated
from uuid import UUID

import msgspec
import typer
from rich.console import Console

from app.domain.job import Job, JobState, ScheduledSync
from app.domain.principal import Principal
from app.embedded.connect import connected
from app.settings import Settings, load_settings
from app.storage.jobs import JobStore
from app.storage.queue import open_queue
from app.storage.scheduled_syncs import ScheduledSyncs
from app.telemetry import configure_logging
from ingestion.opening import opened_database
from ingestion.sources.declared import read_sources
from ingestion.worker import open_worker

console = Console(stderr=True, highlight=False)

DataDir = Annotated[Path | None, typer.Option(help="Where the embedded services keep their data.")]


def worker(
    data_dir: DataDir = None,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Jobs at a time.")] = 1,
    until_empty: Annotated[bool, typer.Option("--until-empty", help="End when nothing is left to do.")] = False,
    until_eof: Annotated[bool, typer.Option("--until-eof", hidden=True)] = False,
) -> None:
    """Work through the queue: uploaded files, and sources of footnote.toml that have a schedule.

    Any number of workers share a queue. What one had taken when it was lost is taken by another after half a minute.
    """
    with connected(load_settings(data_dir=data_dir)) as settings:
        configure_logging(level=settings.log_level, json=settings.log_format == "json")
        if until_eof:
            threading.Thread(target=_end_with_input, name="input", daemon=True).start()
        asyncio.run(_work(settings, concurrency=concurrency, wait=not until_empty))


def _end_with_input() -> None:
    """End this process as SIGTERM does once its standard input ends: the process that started it is gone."""
    while os.read(sys.stdin.fileno(), 65_536):  # unbuffered: whoever waits in a buffer would be fatal at the end
        pass
    os.kill(os.getpid(), signal.SIGTERM)


async def _work(settings: Settings, *, concurrency: int, wait: bool) -> None:
    async with open_worker(settings, concurrency=concurrency) as at_work:
        sources = read_sources(settings.sources_file) if settings.sources_file.exists() else {}
        scheduled = at_work.schedule(list(sources.values()))
        console.print(f"working; {scheduled} sources have a schedule")
        await at_work.run(concurrency=concurrency, wait=wait)


def jobs(
    data_dir: DataDir = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that failed.")] = False,
    retry: Annotated[UUID | None, typer.Option(help="Try this failed job again.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, from the newest.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="Print each job as a line of JSON.")] = False,
) -> None:
    """Show the uploads that workers do, and scheduled syncs that failed; try failed uploads again."""
    with connected(load_settings(data_dir=data_dir)) as settings:
        configure_logging(level="warning", json=False)
        found = asyncio.run(_jobs(settings, retry, JobState.FAILED if failed else None, limit))
    if json:
        sys.stdout.write("".join(msgspec.json.encode(job).decode() + "\n" for job in found))
        return
    for job in found:
        sys.stdout.write(_told(job))


def _told(job: Job | ScheduledSync) -> str:
    """A line with the whole id, which `--retry` takes; a problem in the line below it."""
    counts = f"attempts {job.attempts}" + (f", chunks {job.chunks}" if isinstance(job, Job) and job.chunks else "")
    problem = f"  {' '.join(job.problem.split())}\n" if job.problem else ""
    which, name = (job.id, job.name) if isinstance(job, Job) else ("scheduled sync", job.source)
    return f"{which!s:<36}  {job.state:<7}  {job.collection}: {name} ({counts})\n{problem}"


async def _jobs(
    settings: Settings, retry: UUID | None, state: JobState | None, limit: int
) -> Sequence[Job | ScheduledSync]:
    workspace_id = Principal().workspace_id
    async with opened_database(settings) as database:
        store = JobStore(database, open_queue(database.url))
        if retry is not None:
            return [await store.retry(workspace_id, retry)]
        syncs = await ScheduledSyncs(database).all(workspace_id, state=state)
        return [*syncs, *await store.page(workspace_id, state=state, limit=limit)]
