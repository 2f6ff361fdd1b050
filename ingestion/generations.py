"""Generations: what can be done with those that are there: look, go back, drop."""

from dataclasses import dataclass
from time import perf_counter

from app.domain.errors import ReindexRefused
from app.domain.index import IndexGeneration
from app.storage.building import Progress, total_progress
from app.storage.engine import Database
from app.storage.exchange import (
    GenerationOverview,
    building_generation,
    drop_generation,
    drop_leftovers,
    overview,
    purgeable,
    roll_back,
)
from app.storage.maintenance import maintenance, maintenance_runs, workspace_ids

PURGE_AFTER_S = 3600.0  # servers with the former embedder answer from a retired generation; they get this long


@dataclass(frozen=True, slots=True)
class GenerationStatus:
    """A generation and how many of the current documents are in it."""

    overview: GenerationOverview
    progress: Progress


@dataclass(frozen=True, slots=True)
class Status:
    """Every generation, and whether a builder is at work."""

    generations: list[GenerationStatus]
    builder_at_work: bool


async def status(database: Database) -> Status:
    """What there is."""
    workspaces = await workspace_ids(database)
    found = [
        GenerationStatus(one, await total_progress(database, one.generation, workspaces))
        for one in await overview(database)
    ]
    return Status(found, await maintenance_runs(database))


async def rollback(database: Database) -> tuple[IndexGeneration, int, float]:
    """Go back to the generation retired last: it, the documents that are not in it, the seconds until it was active.

    Raises ReindexRefused when there is none.
    """
    started = perf_counter()
    active = await roll_back(database)
    seconds = perf_counter() - started
    progress = await total_progress(database, active, await workspace_ids(database))
    return active, progress.pending, seconds


async def purge(database: Database, *, age_s: float = PURGE_AFTER_S) -> list[IndexGeneration]:
    """Drop the generations that were retired at least `age_s` seconds ago. Raises ReindexRefused during a build."""
    async with maintenance(database) as alone:
        workspaces = await workspace_ids(database)
        dropped = [
            generation
            for generation in await purgeable(database, age_s=age_s)
            if await drop_generation(database, alone, workspaces, generation)
        ]
        await drop_leftovers(database, alone, workspaces)
    return dropped


async def abandon(database: Database) -> list[IndexGeneration]:
    """Drop the unfinished generation. Raises ReindexRefused when there is none, or while it is being built."""
    async with maintenance(database) as alone:
        building = await building_generation(database)
        if building is None:
            raise ReindexRefused("No generation is unfinished.")
        await drop_generation(database, alone, await workspace_ids(database), building)
    return [building]
