"""Ingestion benchmark: the pipeline beside its embedder, the writer beside bare COPY and other stores, and memory.

`python -m evals.bench.ingest --docs FOLDER|ARCHIVE [--files 120] [--chunks 20000] [--rounds 5]`, in an embedded
PostgreSQL of its own. In each round every contestant of a table once, in random order; ratios are taken within a round.
"""

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Annotated

import typer
from rich.console import Console

from app.domain.principal import DEFAULT_WORKSPACE_ID, Principal
from app.embedded.connect import connected, environment_of
from app.providers.local_embedder import LocalEmbedder
from app.settings import Settings, load_settings
from app.storage.engine import Database
from app.storage.versions import NewVersion
from app.telemetry import configure_logging
from evals.bench.loading import version
from evals.bench.storing import Contestant, Target, bare, costs, langchain_store, llamaindex_store, ours
from evals.bench.synthetic import CHUNKS_PER_DOCUMENT, SyntheticCorpus
from evals.bench.tables import number, print_rows
from evals.drills.edits import Tree
from ingestion.changes import Changes
from ingestion.contexts import ContextModel
from ingestion.opening import open_with
from ingestion.pipeline import ingest
from ingestion.place import Here
from ingestion.sources.files import find_files

console = Console(soft_wrap=True, highlight=False)
_PEER_CHUNKS = 2_000  # of the peers that write row by row; more would only make them slower
_MEMORY_FILES = (500, 5_000)
_EMBEDDED = """
SELECT DISTINCT CASE WHEN cardinality(heading_path) > 0 THEN array_to_string(heading_path, ' › ') || chr(10) ELSE '' END
    || text FROM chunk
"""


def main(
    docs: Annotated[Path, typer.Option(help="A folder or tar archive of text files.")],
    files: Annotated[int, typer.Option(help="How many of them the pipeline ingests.")] = 120,
    chunks: Annotated[int, typer.Option(help="Chunks with given vectors.")] = 20_000,
    rounds: Annotated[int, typer.Option(help="How often each contestant runs.")] = 5,
) -> None:
    """Run the rounds and print the tables."""
    configure_logging(level="warning", json=False)
    with TemporaryDirectory(prefix="fn-bench-") as home:
        folder = Path(home)
        tree = Tree.of(docs, folder / "docs", random.Random(1), files=files)  # noqa: S311 - a benchmark
        with connected(load_settings(data_dir=folder / "pipeline")) as settings:
            asyncio.run(_pipeline(settings, tree.files(), rounds))
        with connected(load_settings(data_dir=folder / "stores")) as settings:
            asyncio.run(_stores(settings, chunks, rounds))
        _memory(folder)


async def _pipeline(settings: Settings, files: Sequence[Path], rounds: int) -> None:
    """Chunks a second of the pipeline, beside those of its embedder alone on the same texts, sorted by length."""
    database = await _open(settings)
    embedder = LocalEmbedder(threads=settings.embedder_threads)
    await embedder.ready()
    items, texts, shares = find_files([*files]), list[str](), list[tuple[float, float]]()

    async def whole() -> float:
        with Here(embedder) as place:
            model = ContextModel(settings)  # the collection has no contexts
            run = await open_with(place, model, database, settings, "bench", principal=Principal())
            await _clear(database)
            report = await ingest(items, Changes({}), run)
        if report.failures or report.embedded < len(texts):
            raise RuntimeError(f"not all was ingested anew: {report}")
        return report.embedded / report.seconds

    async def alone() -> float:
        started = perf_counter()
        await embedder.embed_passages(texts)
        return len(texts) / (perf_counter() - started)

    try:
        await whole()  # the chunks are there now, and everything is loaded
        texts = await _texts(database)
        for round_ in range(rounds):
            rates = await _round({"pipeline": whole, "embedder": alone}, round_)
            shares.append((rates["pipeline"], rates["embedder"]))
            console.print(f"round {round_ + 1}: {rates['pipeline']:.1f} and {rates['embedder']:.1f} chunks/s")
    finally:
        await embedder.close()
        await _clear(database)
        await database.close()
    ratios = [mine / its for mine, its in shares]
    print_rows(
        f"From files to searchable: {len(files)} files, {len(texts)} chunks, {rounds} rounds",
        ("", "chunks/s", "pipeline ÷ embedder (least to most)"),
        [
            ("pipeline", number(median(mine for mine, _ in shares), 1), _spread(ratios)),
            ("embedder alone, sorted by length", number(median(its for _, its in shares), 1), ""),
        ],
    )


async def _stores(settings: Settings, chunks: int, rounds: int) -> None:
    """Rows a second with given vectors, to the state in which they can be searched by vector and by words."""
    corpus = SyntheticCorpus(chunks)
    versions = [version(corpus.document(n)) for n in range(corpus.documents)]
    few = versions[: _PEER_CHUNKS // CHUNKS_PER_DOCUMENT]
    database = await _open(settings)
    target = Target(database.url, database)
    try:
        await _compare(
            target, {"Footnote": ours, "bare COPY, then the same indexes": bare}, versions, rounds, "With given vectors"
        )
        spent = [await costs(target, versions) for _ in range(3)]
        parts = {name: median(one[name] for one in spent) for name in spent[0]}
        rows = [(name, number(s), f"{s / sum(parts.values()):.0%}") for name, s in parts.items()]
        print_rows(f"What Footnote's {len(versions) * CHUNKS_PER_DOCUMENT} rows cost", ("", "s", "share"), rows)
        peers: dict[str, Contestant] = {
            "Footnote": ours,
            "LlamaIndex, IngestionPipeline and PGVectorStore": llamaindex_store,
            "LangChain, PGVectorStore": langchain_store,
        }
        await _compare(target, peers, few, rounds, "Beside other stores, hybrid search and HNSW in each")
    finally:
        await database.close()


async def _compare(
    target: Target, contestants: Mapping[str, Contestant], versions: Sequence[NewVersion], rounds: int, title: str
) -> None:
    """A table of rows a second; the ratios are the first one's to each."""
    rows, first = sum(len(new.chunks) for new in versions), next(iter(contestants))
    seen: list[dict[str, float]] = []
    for round_ in range(rounds):
        works = {name: _rate(contestant, target, versions, rows) for name, contestant in contestants.items()}
        seen.append(await _round(works, round_))
        told = ", ".join(f"{name} {rate:.0f}" for name, rate in seen[-1].items())
        console.print(f"round {round_ + 1}: rows/s: {told}")
    print_rows(
        f"{title}: {rows} rows, {rounds} rounds",
        ("", "rows/s", f"{first} ÷ it (least to most)"),
        [
            (
                name,
                number(median(one[name] for one in seen), 0),
                _spread([one[first] / one[name] for one in seen]) if name != first else "",
            )
            for name in contestants
        ],
    )


def _rate(
    contestant: Contestant, target: Target, versions: Sequence[NewVersion], rows: int
) -> Callable[[], Awaitable[float]]:
    async def measured() -> float:
        return rows / await contestant(target, versions)

    return measured


async def _round(contestants: Mapping[str, Callable[[], Awaitable[float]]], number_: int) -> dict[str, float]:
    """Each of them once, in an order of chance."""
    names = list(contestants)
    random.Random(number_).shuffle(names)  # noqa: S311 - a benchmark
    rates = {name: await contestants[name]() for name in names}
    return {name: rates[name] for name in contestants}


def _memory(folder: Path) -> None:
    """The largest memory of `footnote ingest` on few and on ten times as many documents, vectors from a fake."""
    peaks = []
    for files in _MEMORY_FILES:
        tree = Tree.of(None, folder / f"made-{files}", random.Random(2), files=files)  # noqa: S311 - a benchmark
        with connected(load_settings(data_dir=folder / f"data-{files}")) as settings:
            environment = environment_of(settings) | {
                "FOOTNOTE_DATA_DIR": str(settings.data_dir),
                "FOOTNOTE_EMBEDDER": "scripted",
            }
            command = [sys.executable, "-m", "app.cli", "ingest", str(tree.folder), "--json"]
            with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
                peaks.append(_peak_mb(process))
            if process.returncode:
                raise RuntimeError(f"ingesting {files} files ended with {process.returncode}")
    rows = [(f"{files} files", number(peak, 0)) for files, peak in zip(_MEMORY_FILES, peaks, strict=True)]
    print_rows(f"Largest memory of one process: {peaks[1] / peaks[0]:.2f} times as much", ("", "MB"), rows)


def _peak_mb(process: subprocess.Popen[bytes]) -> float:
    """The largest resident memory of a process, asked until it ends; getrusage would count that of its starter."""
    peak, status = 0, Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        found = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        peak = int(found[0].split()[1]) if found else peak  # a process that has just ended has no memory
        time.sleep(0.05)
    return peak / 1024


async def _open(settings: Settings) -> Database:
    assert settings.database_url is not None  # noqa: S101 - `connected` sets it
    database = Database(settings.database_url.get_secret_value(), pool_size=4)
    await database.open()
    return database


async def _clear(database: Database) -> None:
    """Delete every document, so that the next ingestion is a first one."""
    async with database.connection(DEFAULT_WORKSPACE_ID) as connection:
        await connection.execute("UPDATE document SET duplicate_of = NULL")
        await connection.execute("DELETE FROM document")


async def _texts(database: Database) -> list[str]:
    """What was embedded, sorted by length."""
    async with database.connection(DEFAULT_WORKSPACE_ID) as connection:
        rows = await (await connection.execute(_EMBEDDED)).fetchall()
    return sorted((row[0] for row in rows), key=len)


def _spread(ratios: Sequence[float]) -> str:
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    typer.run(main)
