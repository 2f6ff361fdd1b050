"""The command: `python -m evals.bench.lexical_race [--chunks 21000] [--rounds 3] [--data FOLDER] [--json FILE]`.

Four designs of BM25 in PostgreSQL, pruned and not, are loaded with the same texts and race: milliseconds of a search
and what it finds beside exact scores, size, loading; then texts are replaced and deleted, and they race again as they
are left, before any VACUUM. PostgreSQL starts in a temporary folder, without autovacuum; a checkpoint precedes each
design's writes, so that its write-ahead log holds whole pages, as it does soon after any checkpoint. It measures; it
judges nothing.
"""

import asyncio
import os
import platform
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Annotated, Any
from uuid import UUID

import numpy as np
import psycopg
import typer

from app.domain.index import IndexGeneration
from app.domain.principal import DEFAULT_WORKSPACE_ID
from app.embedded.services import embedded_services
from app.storage.documents import DocumentStore
from app.storage.engine import Database
from app.storage.generations import ensure_generation
from app.storage.schema import migrate
from app.telemetry import configure_logging
from evals.bench.bm25 import ExactBm25, overlap
from evals.bench.lexical_designs import COLLECTION, COMMON, Connection, Design, Search, searches
from evals.bench.probes import Probe
from evals.bench.processors import Processors
from evals.bench.racing import Record, Track
from evals.bench.recombined import Passages
from evals.bench.tables import DASH, console, number, print_rows
from evals.progress import Progress
from evals.report import write_report

K = 100
_BLOCK = 2000  # chunks loaded in one transaction
_BATCH = 10  # chunks written in one transaction
_SERVER = {"autovacuum": "off", "checkpoint_timeout": "1h", "max_wal_size": "8GB"}
_SESSION = Database.SESSION | {
    "footnote.workspace_id": str(DEFAULT_WORKSPACE_ID),
    "work_mem": "64MB",
    "max_parallel_workers_per_gather": "0",
}
_LEXEMES = """
SELECT tsvector_to_array(t.words), ARRAY(SELECT cardinality(positions) FROM unnest(t.words))
FROM unnest(%s::text[]) WITH ORDINALITY i(text, place)
CROSS JOIN LATERAL (SELECT to_tsvector('english', lexical_text(i.text)) OFFSET 0) t(words) ORDER BY i.place
"""
_WAL = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"
Lexemes = tuple[list[str], list[int]]


def main(
    chunks: Annotated[int, typer.Option(min=100, help="How many chunks are loaded.")] = 21_000,
    rounds: Annotated[int, typer.Option(min=1, help="In how many rounds searches are measured.")] = 3,
    data: Annotated[Path | None, typer.Option(help="Texts and questions in BEIR form; without it, made up.")] = None,
    questions: Annotated[int, typer.Option(min=10, help="How many questions a round.")] = 200,
    replaced: Annotated[int, typer.Option(min=10, help="How many chunks get another text.")] = 1000,
    deleted: Annotated[int, typer.Option(min=10, help="How many chunks are deleted.")] = 500,
    seed: Annotated[int, typer.Option(help="Of the texts, the questions, the writes and the order.")] = 1,
    json: Annotated[Path | None, typer.Option(help="Where the figures go.")] = None,
) -> None:
    """Load, race, write, race again, print."""
    configure_logging(level="warning", json=False)
    if replaced + deleted > chunks:
        raise typer.BadParameter("more chunks are written than there are")
    passages = Passages(data, questions=questions, seed=seed)
    with (
        TemporaryDirectory(prefix="fn-race-") as folder,
        embedded_services(Path(folder) / "data", settings=_SERVER) as endpoints,
        Progress() as progress,
    ):
        migrate(endpoints.database_url)
        size = (chunks, rounds, replaced, deleted, seed)
        report = asyncio.run(_race(endpoints.database_url, passages, size, progress))
    if json is not None:
        write_report(report, json)


class Chunks:
    """The texts that are stored, by number, and their lexemes, read apart from the designs."""

    def __init__(self, connection: Connection, texts: Mapping[int, str]) -> None:
        self._connection = connection
        self.texts = dict(texts)
        self._lexemes: dict[int, Lexemes] = {}
        self._interned: dict[str, str] = {}

    async def exact(self) -> tuple[ExactBm25, dict[int, int]]:
        """BM25 of what is stored now, and each chunk's place in it."""
        missing = [chunk for chunk in self.texts if chunk not in self._lexemes]
        for start in range(0, len(missing), _BLOCK):
            block = missing[start : start + _BLOCK]
            found = await self.read([self.texts[chunk] for chunk in block])
            self._lexemes.update(zip(block, found, strict=True))
        kept = sorted(self.texts)
        return ExactBm25(self._lexemes[chunk] for chunk in kept), {chunk: place for place, chunk in enumerate(kept)}

    async def read(self, texts: Sequence[str]) -> list[Lexemes]:
        """The lexemes of texts, and how often each stands there."""
        rows = await (await self._connection.execute(_LEXEMES, (list(texts),), binary=True)).fetchall()
        return [([self._interned.setdefault(x, x) for x in lexemes], counts) for lexemes, counts in rows]

    def replace(self, changed: Mapping[int, str]) -> None:
        """These have other texts now."""
        self.texts |= changed
        for chunk in changed:
            self._lexemes.pop(chunk, None)

    def delete(self, chunks: Sequence[int]) -> None:
        """These are gone."""
        for chunk in chunks:
            del self.texts[chunk]


async def make_searches(url: str) -> tuple[Connection, list[Search]]:
    """A connection as searches use it, and every contestant on it, with nothing loaded."""
    database = Database(url, pool_size=2)
    await database.open()
    try:
        generation: IndexGeneration = await ensure_generation(
            database, embedder=COLLECTION, dimensions=16, chunker=COLLECTION
        )
        collection: UUID = await DocumentStore(database).ensure_collection(DEFAULT_WORKSPACE_ID, COLLECTION)
    finally:
        await database.close()
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    for name, value in _SESSION.items():
        await connection.execute("SELECT set_config(%s, %s, false)", (name, value))
    await connection.execute(COMMON)
    return connection, searches(connection, generation, collection)


async def load(connection: Connection, design: Design, texts: Mapping[int, str], progress: Progress) -> float:
    """Make and fill a design's tables; the seconds that took, indexes and VACUUM ANALYZE included."""
    started, order = perf_counter(), sorted(texts)
    task = progress.start(f"loading {design.name}", len(order))
    for text in design.make:
        await connection.execute(text.encode())
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        await design.run(connection, design.fill, block, [texts[chunk] for chunk in block])
        progress.advance(task, len(block))
    for text in design.finish:
        await connection.execute(text.encode())
    return perf_counter() - started


async def write(
    connection: Connection, design: Design, before: Mapping[int, str], after: Mapping[int, str], progress: Progress
) -> tuple[float, float]:
    """Replace chunks' texts, or delete those that `after` lacks; ms and bytes of write-ahead log for each chunk."""
    task = progress.start(f"writing {design.name}", len(before))
    order = list(before)
    log, started = await _wal(connection), perf_counter()
    for start in range(0, len(order), _BATCH):
        batch = order[start : start + _BATCH]
        new = [chunk for chunk in batch if chunk in after]
        async with connection.transaction():
            await design.run(connection, design.remove, batch, [before[chunk] for chunk in batch])
            if new:
                await design.run(connection, design.add, new, [after[chunk] for chunk in new])
        progress.advance(task, len(batch))
    seconds = perf_counter() - started
    return seconds * 1000 / len(order), (await _wal(connection) - log) / len(order)


async def _wal(connection: Connection) -> float:
    row = await (await connection.execute(_WAL)).fetchone()
    return float(row[0]) if row else 0.0


async def _race(
    url: str, passages: Passages, size: tuple[int, int, int, int, int], progress: Progress
) -> dict[str, Any]:
    count, rounds, replaced, deleted, seed = size
    started, chance = perf_counter(), random.Random(seed)  # noqa: S311
    connection, contestants = await make_searches(url)
    async with connection:
        chunks = Chunks(connection, {number: passages.text(number) for number in range(count)})
        designs = list({one.design.name: one.design for one in contestants}.values())
        costs: dict[str, dict[str, float]] = {}
        for design in designs:
            seconds = await load(connection, design, chunks.texts, progress)
            costs[design.name] = {"load_chunks_per_s": count / seconds}
            console.print(f"{design.name}: loaded in {seconds:.0f} s")
        sizes = {one.name: await one.megabytes() for one in contestants}

        probes = [Probe(text, np.empty(0, np.float32), []) for text in passages.questions]
        track = Track(rounds, Processors(connection.info.backend_pid), chance, progress)
        first = await _searched(track, contestants, probes, chunks)
        console.print(f"searched, after {perf_counter() - started:.0f} s")

        picked = chance.sample(sorted(chunks.texts), replaced + deleted)
        old, gone = [{chunk: chunks.texts[chunk] for chunk in part} for part in (picked[:replaced], picked[replaced:])]
        new = {chunk: passages.made(count + place) for place, chunk in enumerate(old)}
        for design in designs:
            await _checkpoint(url)
            for kind, before, after in (("replace", old, new), ("delete", gone, {})):
                ms, wal_bytes = await write(connection, design, before, after, progress)
                costs[design.name] |= {f"{kind}_ms": ms, f"{kind}_wal_bytes": wal_bytes}
        console.print(f"written, after {perf_counter() - started:.0f} s")
        chunks.replace(new)
        chunks.delete(list(gone))
        second = await _searched(track, contestants, probes, chunks)
    report: dict[str, Any] = {
        "chunks": count,
        "rounds": rounds,
        "questions": len(probes),
        "seed": seed,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load_after": os.getloadavg()[0],
        "python": platform.python_version(),
        "seconds": perf_counter() - started,
        "contestants": {
            one.name: first[one.name]
            | costs[one.design.name]
            | {"megabytes": sizes[one.name], "after_writes": second[one.name]}
            for one in contestants
        },
    }
    rows = [_row(one, report["contestants"][one.name]) for one in contestants]
    print_rows(f"{count:,} chunks, top {K}", (*_HEAD, *_WRITTEN), rows)
    return report


async def _checkpoint(url: str) -> None:
    """As the superuser, who may."""
    async with await psycopg.AsyncConnection.connect(url, user="postgres", autocommit=True) as connection:
        await connection.execute("CHECKPOINT")


async def _searched(
    track: Track, contestants: Sequence[Search], probes: Sequence[Probe], chunks: Chunks
) -> dict[str, dict[str, float | None]]:
    """Race, and compare what the first lap found with exact scores."""
    records: dict[str, Record] = await track.race("searching", contestants, probes, K)
    exact, places = await chunks.exact()
    shares: dict[str, list[float]] = {one.name: [] for one in contestants}
    for at, probe in enumerate(probes):
        [(lexemes, counts)] = await chunks.read([probe.text])
        scores = exact.scores(dict(zip(lexemes, counts, strict=True)))
        for one in contestants:
            found = records[one.name].found[at : at + 1]  # a slow contestant has not asked all
            shares[one.name] += [overlap(scores, [places[x] for x in map(int, ids) if x in places]) for ids in found]
    return {name: {**record.figures(), "overlap@10": fmean(shares[name])} for name, record in records.items()}


_HEAD = ("design", "p50 ms", "p95 ms", "overlap@10", "MB", "loaded /s", "replace ms", "delete ms")
_WRITTEN = ("replace WAL kB", "delete WAL kB", "p50 ms after", "overlap after")


def _row(one: Search, mine: Mapping[str, Any]) -> list[str]:
    """What loading and writing cost stands once for each design."""
    costs = [number(mine["load_chunks_per_s"], 0), number(mine["replace_ms"], 1), number(mine["delete_ms"], 1)]
    costs += [number(mine[f"{kind}_wal_bytes"] / 1e3, 1) for kind in ("replace", "delete")]
    return [
        one.name,
        number(mine["p50_ms"]),
        number(mine["p95_ms"]),
        number(mine["overlap@10"], 3),
        number(mine["megabytes"], 0),
        *(costs if one.pruned else [DASH] * len(costs)),
        number(mine["after_writes"]["p50_ms"]),
        number(mine["after_writes"]["overlap@10"], 3),
    ]


if __name__ == "__main__":
    typer.run(main)
