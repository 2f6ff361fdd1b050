"""Reindex: builds an index generation beside the live one, verifies it, and lets it take over."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal
from uuid import UUID

from psycopg import AsyncConnection

from app.domain.errors import ReindexRefused
from app.domain.index import IndexGeneration
from app.domain.ports import Embedder
from app.domain.principal import DEFAULT_WORKSPACE_ID
from app.storage.building import total_progress
from app.storage.engine import Database
from app.storage.exchange import begin_building, building_generation, flip
from app.storage.generations import active_generation
from app.storage.indexes import build_indexes, renew_index
from app.storage.lexemes import add_up
from app.storage.maintenance import analyze, maintenance, workspace_ids
from app.storage.writers import stop_writers
from ingestion.filling import Filling
from ingestion.verify import Verification, verify

CATCH_UPS = 3  # passes after the writers of documents, before the last one that holds them up

Stage = Literal["building", "indexing", "verifying", "flipping", "done"]


@dataclass(slots=True)
class Report:
    """What a reindexing did and where it stands; `pending` documents of `documents` are not in the generation yet.

    `renewed`: nothing took over, but the HNSW index was built anew, as it was narrower than they are built now.
    """

    generation: int
    replaces: int
    stage: Stage = "building"
    documents: int = 0
    pending: int = 0
    chunks: int = 0
    written: int = 0
    resumed: bool = False
    renewed: bool = False
    writers_waited_s: float = 0.0
    seconds: float = 0.0
    verification: Verification | None = None


async def reindex(
    database: Database,
    embedder: Embedder,
    chunker: str,
    *,
    live_embedder: Embedder | None = None,
    ef_search: int = 150,
    force: bool = False,
    progress: Callable[[Report], None] = lambda _report: None,
) -> Report:
    """Build a generation with this embedder and chunker from the stored texts and let it take over.

    An unfinished one of the same kind goes on where it stopped. When the active generation is of this kind already,
    what it lacks is written into it (after a rollback, say), and its HNSW index is built anew where it is narrower than
    they are built now. `live_embedder`, when it fits the live generation, lets the verification tell how the ranks
    differ; `ef_search` is the breadth at which it measures recall, that of the questions. Raises ReindexRefused,
    DatabaseUnavailable, ProviderError.
    """
    async with maintenance(database) as alone:
        live = await active_generation(database)
        if live is None:
            raise ReindexRefused("Nothing is indexed yet; `footnote ingest PATH` makes the first generation.")
        kind = (embedder.name, embedder.dimensions, chunker)
        target = live
        if kind != (live.embedder, live.dimensions, live.chunker) or await building_generation(database) is not None:
            target = await begin_building(
                database, embedder=embedder.name, dimensions=embedder.dimensions, chunker=chunker
            )
        known = next((one for one in (embedder, live_embedder) if one is not None and _fits(one, live)), None)
        run = _Run(database, alone, (target, embedder), (live, known), progress)
        return await run(await workspace_ids(database), ef_search=ef_search, force=force)


def _fits(embedder: Embedder, generation: IndexGeneration) -> bool:
    return (embedder.name, embedder.dimensions) == (generation.embedder, generation.dimensions)


class _Run:
    """One run of the builder; `alone` is the connection that holds the maintenance lock."""

    def __init__(
        self,
        database: Database,
        alone: AsyncConnection[Any],
        target: tuple[IndexGeneration, Embedder],
        live: tuple[IndexGeneration, Embedder | None],
        progress: Callable[[Report], None],
    ) -> None:
        self._database = database
        self._alone = alone
        self._target = target
        self._live = live
        self._filling = Filling(database, target[1], target[0], live[0])
        self._progress = progress
        self._report = Report(generation=target[0].id, replaces=live[0].id)

    async def __call__(self, workspaces: Sequence[UUID], *, ef_search: int, force: bool) -> Report:
        """Fill, index, verify, flip; the active generation is only filled, and its index renewed."""
        started, report = perf_counter(), self._report
        await self._count(workspaces)
        report.resumed = report.pending < report.documents
        await self._fill(workspaces)
        async with self._database.connection(DEFAULT_WORKSPACE_ID) as connection:
            await add_up(connection, self._target[0].id)
        if self._target[0].state == "building":
            self._at("indexing")
            await build_indexes(self._alone, self._target[0])
            await analyze(self._alone)
            for _ in range(CATCH_UPS):
                if await self._fill(workspaces) == 0:
                    break
            self._at("verifying")
            report.verification = await verify(
                self._database, workspaces, self._target, self._live, ef_search=ef_search
            )
            _accept(report, report.verification, force=force)
            self._at("flipping")
            await self._take_over(workspaces)
        else:
            self._at("indexing")
            report.renewed = await renew_index(self._alone, self._target[0])
        await self._count(workspaces)
        report.seconds = perf_counter() - started
        self._at("done")
        return report

    async def _take_over(self, workspaces: Sequence[UUID]) -> None:
        """The last pass and the flip, while writers wait: what they wrote before is in, the next goes in."""
        started = perf_counter()
        async with self._database.connection(DEFAULT_WORKSPACE_ID) as connection:
            await stop_writers(connection)
            await self._fill(workspaces)
            await self._count(workspaces)
            if self._report.pending:
                raise ReindexRefused(
                    f"{self._report.pending} documents could not be brought into generation {self._report.generation}; "
                    "it was not made the active one. Run the same command again."
                )
            await flip(connection, self._target[0])
        self._report.writers_waited_s = perf_counter() - started

    async def _fill(self, workspaces: Sequence[UUID]) -> int:
        return await self._filling.fill(workspaces, self._written)

    def _written(self, documents: int) -> None:
        self._report.written += documents
        self._report.pending = max(0, self._report.pending - documents)
        self._progress(self._report)

    async def _count(self, workspaces: Sequence[UUID]) -> None:
        total = await total_progress(self._database, self._target[0], workspaces)
        self._report.documents, self._report.pending, self._report.chunks = total.documents, total.pending, total.chunks
        self._progress(self._report)

    def _at(self, stage: Stage) -> None:
        self._report.stage = stage
        self._progress(self._report)


def _accept(report: Report, found: Verification, *, force: bool) -> None:
    """Raise ReindexRefused when the verification found the generation wanting, unless `force`."""
    if found.problems and not force:
        raise ReindexRefused(
            f"Generation {report.generation} is built but was not made the active one: {'; '.join(found.problems)}. "
            "Run the same command again to look anew, with --force to take it as it is, or `footnote reindex "
            "--abandon` to drop it."
        )
