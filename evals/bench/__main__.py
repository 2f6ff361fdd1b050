"""The command: `python -m evals.bench [--chunks 20000] [--rounds 5] [--json FILE]`.

Everything in one run on one machine: the same vectors, the same embedded PostgreSQL. The data stays in `--data-dir`, in
a folder for each size, so that the next run loads nothing. It measures; it judges nothing.
"""

import asyncio
import os
import platform
import random
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import psycopg
import typer

from app.bootstrap import make_retrieval
from app.domain.index import IndexGeneration
from app.domain.passage import Leg
from app.domain.principal import DEFAULT_WORKSPACE_ID
from app.embedded.connect import connected
from app.serving import event_loop, quieten_garbage_collector
from app.settings import Settings, load_settings
from app.storage.engine import Database
from app.telemetry import configure_logging
from evals.bench.bare import BareSql, fill_narrow
from evals.bench.contestants import Contestant, Footnote
from evals.bench.dense import run_dense
from evals.bench.filters import run_filtered_words, run_filters
from evals.bench.legs import run_legs
from evals.bench.loading import COLLECTIONS, CONFIG, load
from evals.bench.peers import open_peers
from evals.bench.plans import run_plans
from evals.bench.probes import KnownVectors, Narrowing, make_probes
from evals.bench.processors import Processors
from evals.bench.racing import Track
from evals.bench.stored import Stored, read_bm25, read_question, read_stored
from evals.bench.synthetic import MADE_BY, SyntheticCorpus
from evals.bench.tables import console
from evals.progress import Progress
from evals.report import write_report

_CLIENTS = 8


def main(
    chunks: Annotated[int, typer.Option(min=400, help="How many chunks are indexed.")] = 20_000,
    rounds: Annotated[int, typer.Option(min=1, help="In how many rounds everything is measured.")] = 5,
    queries: Annotated[int, typer.Option(min=10, help="How many questions a round.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the corpus, the questions and the order of contestants.")] = 1,
    data_dir: Annotated[Path, typer.Option(help="Where the data is kept, by size.")] = Path(".footnote-bench"),
    json: Annotated[Path | None, typer.Option(help="Where the figures go.")] = None,
) -> None:
    """Load, measure, print."""
    configure_logging(level="warning", json=False)
    folder = data_dir / f"{MADE_BY}-{chunks}-{seed}"
    settings = load_settings(data_dir=folder).model_copy(update={"database_url": None, "redis_url": None})
    with connected(settings, share=False) as ready, Progress() as progress:
        quieten_garbage_collector()
        with asyncio.Runner(loop_factory=event_loop()) as runner:  # as the service does, for all contestants alike
            report = runner.run(_bench(ready, SyntheticCorpus(chunks, seed=seed), (rounds, queries, seed), progress))
    write_report(report, json or folder / "report.json")
    console.print(f"written to {json or folder / 'report.json'}")


@dataclass(frozen=True, slots=True)
class _Data:
    """What is loaded, and where."""

    database: Database
    url: str
    generation: IndexGeneration
    stored: Stored
    processors: Processors
    loading_s: float


async def _bench(
    settings: Settings, corpus: SyntheticCorpus, size: tuple[int, int, int], progress: Progress
) -> dict[str, Any]:
    rounds, queries, seed = size
    started, probes = perf_counter(), make_probes(corpus, queries)
    embedder = KnownVectors(f"{MADE_BY}:{seed}", probes)
    async with AsyncExitStack() as stack:
        data = await _open_data(stack, settings, corpus, embedder.name, progress)
        database, generation, stored = data.database, data.generation, data.stored
        bare, prefilter, iterative = [
            await stack.enter_async_context(
                BareSql(name, kind, generation).opened(data.url, clients=_CLIENTS, ef_search=settings.hnsw_ef_search)
            )
            for name, kind in _BARE.items()
        ]
        peers, absent = await open_peers(
            stack, data.url, generation, progress, chunks=len(stored.places), ef_search=settings.hnsw_ef_search
        )
        track = Track(rounds, data.processors, random.Random(seed), progress, _CLIENTS)  # noqa: S311
        report = await _circumstances(settings, data, size)

        ours = Footnote("footnote", make_retrieval(settings, database, embedder), "dense")
        never_exact = settings.model_copy(update={"hnsw_candidate_rows": 0})
        through_index = Footnote("footnote, HNSW", make_retrieval(never_exact, database, embedder), "dense")
        report["dense"] = await run_dense(track, [ours, through_index, bare, *peers], absent, probes, stored)

        legs: dict[str, Footnote] = {
            leg: Footnote(leg, make_retrieval(settings, database, embedder), leg) for leg in _LEGS
        }
        bm25 = await read_bm25(database, generation, k1=settings.bm25_k1, b=settings.bm25_b)
        questions = [await read_question(database, CONFIG, probe.text) for probe in probes]
        report["legs"] = await run_legs(track, legs, probes, stored, bm25, questions)

        narrowed: list[Contestant] = [ours, prefilter, iterative, *peers]
        alone = replace(track, rounds=min(rounds, _FILTER_ROUNDS), clients=0)
        few = probes[:_FILTERED]
        report["filters"] = await run_filters(alone, narrowed, absent, few, stored)
        report["filtered words"] = await run_filtered_words(alone, legs["lexical"], few, stored, bm25, questions)

        one = Narrowing(COLLECTIONS[1], "tied_1")
        plans = {bare.name: (bare, Narrowing()), prefilter.name: (prefilter, one), iterative.name: (iterative, one)}
        report["plans"] = await run_plans(database, generation, settings.fusion, plans)
        report["seconds"] = perf_counter() - started
    return report


async def _open_data(
    stack: AsyncExitStack, settings: Settings, corpus: SyntheticCorpus, embedder: str, progress: Progress
) -> _Data:
    assert settings.database_url is not None  # noqa: S101 - `connected` sets it
    url = settings.database_url.get_secret_value()
    database = Database(url, pool_size=_CLIENTS + 2)
    await database.open()
    stack.push_async_callback(database.close)
    generation, loading_s = await load(database, corpus, embedder, progress)
    stored = await read_stored(database, generation)
    side = await stack.enter_async_context(await psycopg.AsyncConnection.connect(url, autocommit=True))
    await side.execute("SELECT set_config('footnote.workspace_id', %s, false)", (str(DEFAULT_WORKSPACE_ID),))
    await fill_narrow(side, generation, len(stored.places))
    return _Data(database, url, generation, stored, Processors(side.info.backend_pid), loading_s)


_FILTER_ROUNDS = 3
_FILTERED = 40  # questions of a round in each of the scopes, of which there are many
_BARE = {"psycopg, HNSW": "index", "psycopg, narrow prefilter": "prefilter", "psycopg, iterative HNSW": "iterative"}
_LEGS: tuple[Leg, ...] = ("dense", "lexical", "hybrid")


async def _circumstances(settings: Settings, data: _Data, size: tuple[int, int, int]) -> dict[str, Any]:
    rounds, queries, seed = size
    server, pgvector, _ = await data.database.describe()
    return {
        "chunks": len(data.stored.places),
        "rounds": rounds,
        "queries": queries,
        "seed": seed,
        "ef_search": settings.hnsw_ef_search,
        "candidate_rows": settings.hnsw_candidate_rows,
        "loading_s": data.loading_s,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "postgresql": server,
        "pgvector": pgvector,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


_PACKAGES = ("psycopg", "sqlalchemy", "llama-index-vector-stores-postgres", "langchain-postgres")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    typer.run(main)
