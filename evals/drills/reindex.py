"""Reindex drill: another dimension while four clients ask, the builder killed three times, then a rollback.

`python -m evals.drills.reindex [--chunks 20000] [--clients 4] [--seed N]`, on an embedded installation of its own that
is gone afterwards. Exit code 1 when a question failed, an answer mixed generations, or the rollback took a second.
"""

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from app.bootstrap import make_retrieval
from app.domain.document import Heading, ParsedDocument
from app.domain.errors import FootnoteError
from app.domain.index import chunker_id
from app.domain.passage import Passage
from app.domain.principal import DEFAULT_WORKSPACE_ID, Principal
from app.embedded.connect import connected, environment_of
from app.providers.fakes import HashEmbedder
from app.providers.tokenizer import count_tokens
from app.services.retrieval import SearchRequest
from app.settings import Settings, load_settings
from app.storage.documents import DocumentStore
from app.storage.engine import Database
from app.storage.exchange import overview
from app.storage.generations import ensure_generation
from app.storage.maintenance import analyze, maintenance
from app.storage.versions import NewVersion
from app.telemetry import configure_logging
from ingestion.chunking.structure import chunk

LIVE, NEW = HashEmbedder(384), HashEmbedder(256)
SECTIONS = 20  # of a document; each becomes a chunk
KILLS = 3
ROUNDING = 5e-3  # of half precision
console = Console(soft_wrap=True, highlight=False)


@dataclass(slots=True)
class Answers:
    """What the clients saw."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    found: list[tuple[str, list[Passage]]] = field(default_factory=list)

    async def mixed(self) -> int:
        """Answers with a passage whose similarity is not that of the clients' embedder."""
        return sum([not await _of_one_generation(question, passages) for question, passages in self.found])


async def _of_one_generation(question: str, passages: Sequence[Passage]) -> bool:
    texts = [" › ".join(passage.heading_path) + "\n" + passage.text for passage in passages]
    asked, *vectors = await LIVE.embed_passages([question, *texts])
    measured = [(vector @ asked, p.similarity) for vector, p in zip(vectors, passages, strict=True)]
    wanted, given = zip(*[pair for pair in measured if pair[1] is not None] or [(0, 0)], strict=True)
    return bool(np.allclose(wanted, given, atol=ROUNDING))


def main(
    chunks: Annotated[int, typer.Option(min=100, help="How many chunks are indexed.")] = 20_000,
    clients: Annotated[int, typer.Option(min=1, help="How many ask all the while.")] = 4,
    seed: Annotated[int | None, typer.Option(help="Of the points at which the builder is killed.")] = None,
) -> None:
    """Run the drill and print its table."""
    configure_logging(level="warning", json=False)
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    with TemporaryDirectory(prefix="fn-drill-") as folder:
        settings = load_settings(data_dir=Path(folder) / "data").model_copy(update={"embedder": "scripted"})
        with connected(settings, share=False) as ready:
            rows, passed = asyncio.run(_drill(ready, chunks, clients, chance))
    table = Table("", "", show_header=False, box=None, padding=(0, 1))
    for name, value in rows:
        table.add_row(name, value)
    console.print(table)
    if not passed:
        raise typer.Exit(1)


async def _drill(
    settings: Settings, chunks: int, clients: int, chance: random.Random
) -> tuple[list[tuple[str, str]], bool]:
    assert settings.database_url is not None  # noqa: S101 - `connected` sets it
    database = Database(settings.database_url.get_secret_value(), pool_size=clients + 2)
    await database.open()
    try:
        words = [f"{first}{second}" for first in _SYLLABLES for second in _SYLLABLES]
        written = await _write(database, settings, chunks, words)
        async with _asking(database, settings, clients, words) as quiet:
            await asyncio.sleep(3)
        async with _asking(database, settings, clients, words) as answers:
            started = perf_counter()
            killed = await _kill_three_times(database, settings, written, chance)
            report = await _run_builder(settings)
            seconds = perf_counter() - started
            await asyncio.sleep(2)
            back = await _footnote_json(settings, "reindex", "--rollback", "--json")
            await asyncio.sleep(2)
        mixed = await answers.mixed()
    finally:
        await database.close()
    rows = [
        ("chunks", f"{written}, {LIVE.dimensions} → {NEW.dimensions} dimensions"),
        ("builder killed (kill -9) at chunk", ", ".join(map(str, killed))),
        ("documents that the last run still had to write", f"{report['written']} of {report['documents']}"),
        ("seconds, kills included", f"{seconds:.1f} (the last run {report['seconds']:.1f})"),
        ("recall@10 of the new HNSW index", f"{report['verification']['recall_at_10']:.3f}"),
        ("counts of BM25 that are wrong", str(report["verification"]["wrong_statistics"])),
        ("writers waited at the flip, s", f"{report['writers_waited_s']:.2f}"),
        ("questions meanwhile", f"{len(answers.found)} by {clients} clients"),
        ("failed", f"{len(answers.failures)} {' '.join(sorted(set(answers.failures)))}"),
        ("mixed generations", str(mixed)),
        ("ms a question before, p50 / p95", _percentiles(quiet.seconds)),
        ("ms a question meanwhile, p50 / p95", _percentiles(answers.seconds)),
        ("rollback, s", f"{back['seconds']:.3f}"),
    ]
    return rows, not answers.failures and not mixed and back["seconds"] < 1 and bool(answers.found)


_SYLLABLES = ("bal", "cor", "den", "fir", "gan", "hol", "jin", "kel", "lom", "mar", "nor", "pel", "quo", "ras", "sul")


async def _write(database: Database, settings: Settings, chunks: int, words: Sequence[str]) -> int:
    """Documents of random words, until there are so many chunks."""
    store, chance = DocumentStore(database), random.Random(1)  # noqa: S311 - not for secrets
    chunker = chunker_id(settings.chunk_tokens)
    generation = await ensure_generation(database, embedder=LIVE.name, dimensions=LIVE.dimensions, chunker=chunker)
    collection = await store.ensure_collection(DEFAULT_WORKSPACE_ID, "drill")
    written = number = 0
    while written < chunks:
        document = _document(number, words, chance)
        pieces = chunk(document, max_tokens=settings.chunk_tokens, count_tokens=count_tokens)
        vectors = await LIVE.embed_passages([piece.embedding_text for piece in pieces])
        version = NewVersion(f"drill:{number}", b"1", document, pieces, vectors, "simple")
        await store.write(DEFAULT_WORKSPACE_ID, collection, generation, version)
        written, number = written + len(pieces), number + 1
    async with maintenance(database) as alone:
        await analyze(alone)
    return written


def _document(number: int, words: Sequence[str], chance: random.Random) -> ParsedDocument:
    text, headings = "", []
    for section in range(SECTIONS):
        headings.append(Heading(1, f"Section {section} of {number}", len(text)))
        text += f"Section {section} of {number}\n\n{' '.join(chance.choices(words, k=60))}\n\n"
    return ParsedDocument(text, f"Document {number}", "text/plain", tuple(headings))


@asynccontextmanager
async def _asking(database: Database, settings: Settings, clients: int, words: Sequence[str]) -> AsyncIterator[Answers]:
    """Clients that ask until the block ends."""
    answers, stop = Answers(), asyncio.Event()

    async def ask(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - not for secrets
        retrieval = make_retrieval(settings, database, LIVE)
        while not stop.is_set():
            question, started = " ".join(chance.choices(words, k=5)), perf_counter()
            try:
                passages = await retrieval.search(Principal(), SearchRequest(question, 5))
            except FootnoteError as error:
                answers.failures.append(error.code)
            else:
                answers.seconds.append(perf_counter() - started)
                answers.found.append((question, passages))
                if len(passages) < 5:
                    answers.failures.append("too_few_passages")

    tasks = [asyncio.create_task(ask(seed)) for seed in range(clients)]
    try:
        yield answers
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def _kill_three_times(database: Database, settings: Settings, chunks: int, chance: random.Random) -> list[int]:
    """Start the builder and kill it once it has written a random number of chunks; three times."""
    killed = list[int]()
    for _ in range(KILLS):
        process = await _start(settings, *_COMMAND)
        point = chance.randint(min(await _written(database) + 1, chunks), chunks)
        while process.returncode is None and await _written(database) < point:  # noqa: ASYNC110 - another process writes
            await asyncio.sleep(0.01)
        if process.returncode is None:
            os.kill(process.pid, signal.SIGKILL)
        await process.communicate()
        killed.append(await _written(database))
    return killed


async def _written(database: Database) -> int:
    return sum([one.chunks for one in await overview(database) if one.state == "building"])


_COMMAND = ("reindex", "--embedder-dimensions", str(NEW.dimensions), "--json")


async def _run_builder(settings: Settings) -> Any:
    return await _footnote_json(settings, *_COMMAND)


async def _start(settings: Settings, *arguments: str) -> asyncio.subprocess.Process:
    environment = environment_of(settings) | {
        "FOOTNOTE_EMBEDDER": "scripted",
        "FOOTNOTE_MIN_EVIDENCE": "0",
        "FOOTNOTE_EMBEDDER_DIMENSIONS": str(LIVE.dimensions),
        "FOOTNOTE_HNSW_EF_SEARCH": "300",  # vectors that lie anywhere have no near ones; an index finds them worse
    }
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app.cli", *arguments, env=environment, stdout=asyncio.subprocess.PIPE
    )


async def _footnote_json(settings: Settings, *arguments: str) -> Any:
    process = await _start(settings, *arguments)
    out, _ = await process.communicate()
    if process.returncode:
        raise typer.Exit(1)
    return json.loads(out)


def _percentiles(seconds: Sequence[float]) -> str:
    cut = quantiles(seconds, n=20)
    return f"{cut[9] * 1000:.1f} / {cut[18] * 1000:.1f}"


if __name__ == "__main__":
    typer.run(main)
