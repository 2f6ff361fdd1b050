"""The command: `python -m evals.bench [--chunks 20000] [--rounds 5] [--json FILE]`.

Everything in one run on one machine: the same vectors, the same embedded PostgreSQL. The data stays in `--data-dir`, in
a folder for each size, so that the next run loads nothing. It measures; it judges nothing.
"""

import asyncio
import os
import platform
import random
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import numpy as np
import psycopg
import typer

from app.bootstrap import make_retrieval
from app.domain.passage import Leg
from app.embedded.connect import connected
from app.settings import Settings, load_settings
from app.storage.engine import Database
from app.telemetry import configure_logging
from evals.bench.bare import BareSql, fill_narrow
from evals.bench.contestants import Contestant, Footnote
from evals.bench.dense import run_dense
from evals.bench.filters import run_filters
from evals.bench.legs import run_legs
from evals.bench.loading import COLLECTIONS, load
from evals.bench.peers import open_peers
from evals.bench.plans import run_plans
from evals.bench.probes import KnownVectors, Narrowing, make_probes
from evals.bench.processors import Processors
from evals.bench.racing import Track
from evals.bench.stored import read_stored
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
        report = asyncio.run(_bench(ready, SyntheticCorpus(chunks, seed=seed), (rounds, queries, seed), progress))
    write_report(report, json or folder / "report.json")
    console.print(f"written to {json or folder / 'report.json'}")


async def _bench(
    settings: Settings, corpus: SyntheticCorpus, size: tuple[int, int, int], progress: Progress
) -> dict[str, Any]:
    assert settings.database_url is not None  # noqa: S101 - `connected` sets it
    rounds, queries, seed = size
    started, url = perf_counter(), settings.database_url.get_secret_value()
    probes = make_probes(corpus, queries)
    embedder = KnownVectors(f"{MADE_BY}:{seed}", probes)
    async with AsyncExitStack() as stack:
        database = Database(url, pool_size=_CLIENTS + 2)
        await database.open()
        stack.push_async_callback(database.close)
        generation, loading_s = await load(database, corpus, embedder.name, progress)
        stored = await read_stored(database, generation)
        side = await stack.enter_async_context(await psycopg.AsyncConnection.connect(url, autocommit=True))
        await side.execute("SELECT set_config('footnote.workspace_id', '00000000-0000-7000-8000-000000000001', false)")
        await fill_narrow(side, generation, len(stored.places))
        track = Track(rounds, Processors(side.info.backend_pid), random.Random(seed), progress, _CLIENTS)  # noqa: S311
        report: dict[str, Any] = _circumstances(settings, corpus, size) | {"loading_s": loading_s}
        forced = settings.model_copy(update={"exact_scan_rows": 0})
        bare, prefilter, iterative = [
            await stack.enter_async_context(
                BareSql(name, kind, generation).opened(url, clients=_CLIENTS, ef_search=settings.hnsw_ef_search)
            )
            for name, kind in _BARE.items()
        ]
        peers, absent = await open_peers(
            stack, url, generation, progress, chunks=len(stored.places), ef_search=settings.hnsw_ef_search
        )
        dense: list[Contestant] = [
            Footnote("footnote", make_retrieval(settings, database, embedder), "dense"),
            Footnote("footnote, HNSW", make_retrieval(forced, database, embedder), "dense"),
            bare,
            *peers,
        ]
        report["dense"] = await run_dense(track, dense, absent, probes, stored)
        legs: dict[str, Footnote] = {
            leg: Footnote(leg, make_retrieval(settings, database, embedder), leg) for leg in _LEGS
        }
        exact = (database, generation, settings.bm25_k1, settings.bm25_b)
        report["legs"] = await run_legs(track, legs, probes, stored, exact)
        narrowed: list[Contestant] = [dense[0], prefilter, iterative, *peers]
        alone = replace(track, rounds=min(rounds, _FILTER_ROUNDS), clients=0)
        report["filters"] = await run_filters(alone, narrowed, absent, probes[:_FILTERED], stored)
        one = Narrowing(COLLECTIONS[1], "tied_1")
        plans = {bare.name: (bare, Narrowing()), prefilter.name: (prefilter, one), iterative.name: (iterative, one)}
        report["plans"] = await run_plans(database, generation, settings.fusion, plans)
        report["seconds"] = perf_counter() - started
    return report


_FILTER_ROUNDS = 3
_FILTERED = 40  # questions of a round in each of the scopes, of which there are many
_BARE = {"psycopg, HNSW": "index", "psycopg, narrow prefilter": "prefilter", "psycopg, iterative HNSW": "iterative"}
_LEGS: tuple[Leg, ...] = ("dense", "lexical", "hybrid")


def _circumstances(settings: Settings, corpus: SyntheticCorpus, size: tuple[int, int, int]) -> dict[str, Any]:
    rounds, queries, seed = size
    return {
        "chunks": corpus.chunks,
        "rounds": rounds,
        "queries": queries,
        "seed": seed,
        "ef_search": settings.hnsw_ef_search,
        "exact_scan_rows": settings.exact_scan_rows,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


if __name__ == "__main__":
    typer.run(main)
