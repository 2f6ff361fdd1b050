"""Statistics: BM25 after random inserts, updates and deletes by several writers, beside an index built of what is left.

`python -m evals.drills.statistics [--operations N] [--writers N]` starts PostgreSQL in a temporary folder, lets all
writers write documents of their own to one collection at the same time, writes what is left once more to another, and
compares the scores of every question. Exit code 1 when one differs by more than 1e-5.
"""

import asyncio
import random
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Annotated
from uuid import UUID

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from app.domain.document import Chunk, ParsedDocument
from app.domain.index import IndexGeneration
from app.domain.principal import DEFAULT_WORKSPACE_ID as WORKSPACE
from app.embedded.connect import connected
from app.settings import load_settings
from app.storage.documents import DocumentStore
from app.storage.engine import Database
from app.storage.generations import ensure_generation
from app.storage.lexemes import wrong_statistics
from app.storage.passages import PassageIndex, PassageQuery, Routing, SearchOptions
from app.storage.versions import NewVersion
from app.telemetry import configure_logging

ALLOWED = 1e-5
DIMENSIONS = 16
QUESTIONS = 300
BATCH = 40  # documents that are new, in one transaction
BATCHES = 0.01  # how many of a writer's transactions are such
DOCUMENTS_EACH = 400  # of a writer: every one of them is written again and again
ALL = 10_000  # more than there are, so that nothing is pruned
_SYLLABLES = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
_WORDS = [first + second for first in _SYLLABLES for second in _SYLLABLES]
_COMMONNESS = [1 / rank for rank in range(1, len(_WORDS) + 1)]


class Corpus:
    """Documents of one chunk, made of words as common as those of a language (Zipf), and questions about them."""

    def __init__(self, database: Database, generation: IndexGeneration) -> None:
        self._documents = DocumentStore(database)
        self._database = database
        self._generation = generation

    async def collection(self, name: str) -> UUID:
        """Its id; made where it is missing."""
        return await self._documents.ensure_collection(WORKSPACE, name)

    async def write(self, collection: UUID, texts: Mapping[str, str]) -> None:
        """Insert or update documents, by URI; new ones in one transaction."""
        versions = [
            NewVersion(
                uri=uri,
                content_hash=text.encode(),
                document=ParsedDocument(text, "", "text/plain"),
                chunks=[Chunk(0, (), 0, len(text), None, len(text.split()), text)],
                vectors=np.ones((1, DIMENSIONS), np.float32),
                text_search_config="simple",
            )
            for uri, text in texts.items()
        ]
        await self._documents.write_all(WORKSPACE, collection, self._generation, versions)

    async def delete(self, collection: UUID, uri: str) -> None:
        """Delete a document."""
        async with self._database.connection(WORKSPACE) as connection:
            await connection.execute(
                "DELETE FROM document WHERE collection_id = %s AND source_uri = %s", (collection, uri)
            )

    async def scores(self, collection: str, question: str) -> dict[str, float]:
        """BM25 of every document that has a word of the question, by URI."""
        vector = np.zeros(DIMENSIONS, np.float32)
        query = PassageQuery(question, vector, collection, ALL, "lexical")
        index = PassageIndex(self._database, SearchOptions())
        return {p.uri: p.score for p in await index.search(WORKSPACE, self._generation, query, Routing("exact"))}

    async def wrong_sums(self) -> int:
        """How many of the live sums are not those of the rows."""
        async with self._database.connection(WORKSPACE) as connection:
            return await wrong_statistics(connection, self._generation.id)


def text_of(chance: random.Random) -> str:
    """Up to eighty words."""
    return " ".join(chance.choices(_WORDS, _COMMONNESS, k=chance.randint(1, 80)))


async def _write(
    corpus: Corpus, collection: UUID, writer: int, operations: int, seed: int
) -> tuple[dict[str, str], dict[str, int]]:
    """What the writer left behind, and how many operations of each kind it did."""
    chance = random.Random(f"{seed} {writer}")  # noqa: S311
    left: dict[str, str] = {}
    done = {"insert": 0, "update": 0, "delete": 0}
    while sum(done.values()) < operations:
        if chance.random() < BATCHES:
            batch = {f"w{writer}:{sum(done.values())}:{n}": text_of(chance) for n in range(BATCH)}
            await corpus.write(collection, batch)
            left |= batch
            done["insert"] += BATCH
            continue
        uri = f"w{writer}:{chance.randrange(DOCUMENTS_EACH)}"
        if uri in left and chance.random() < 0.4:
            del left[uri]
            await corpus.delete(collection, uri)
            done["delete"] += 1
        else:
            done["update" if uri in left else "insert"] += 1
            left[uri] = text_of(chance)
            await corpus.write(collection, {uri: left[uri]})
    return left, done


async def _drill(database_url: str, operations: int, writers: int, seed: int) -> tuple[list[tuple[str, str]], bool]:
    database = Database(database_url, pool_size=writers + 1)
    await database.open()
    try:
        generation = await ensure_generation(database, embedder="none", dimensions=DIMENSIONS, chunker="whole")
        corpus = Corpus(database, generation)
        lived, fresh = await corpus.collection("lived"), await corpus.collection("fresh")
        started = perf_counter()
        share = [operations // writers + (writer < operations % writers) for writer in range(writers)]
        written = await asyncio.gather(*(_write(corpus, lived, w, share[w], seed) for w in range(writers)))
        seconds = perf_counter() - started
        left = {uri: text for mine, _ in written for uri, text in mine.items()}
        for uri, text in left.items():
            await corpus.write(fresh, {uri: text})
        largest, compared, missing = await _compare(corpus, random.Random(seed))  # noqa: S311
        wrong = await corpus.wrong_sums()
    finally:
        await database.close()
    kinds = ", ".join(f"{sum(done[kind] for _, done in written):,} {kind}s" for kind in written[0][1])
    rows = [
        ("operations", f"{sum(sum(done.values()) for _, done in written):,} of {writers} writers at once: {kinds}"),
        ("seconds", f"{seconds:.1f}"),
        ("documents left", f"{len(left):,}"),
        ("scores compared", f"{compared:,} of {QUESTIONS} questions"),
        ("in one of the two only", f"{missing:,}"),
        ("largest difference", f"{largest:.1e}"),
        ("sums that are wrong", f"{wrong:,}"),
    ]
    return rows, largest <= ALLOWED and not missing and not wrong and compared > 0


async def _compare(corpus: Corpus, chance: random.Random) -> tuple[float, int, int]:
    """The largest difference of a score, how many were compared, and how many documents only one of the two found."""
    largest, compared, missing = 0.0, 0, 0
    for _ in range(QUESTIONS):
        question = " ".join(chance.choices(_WORDS, _COMMONNESS, k=chance.randint(1, 8)))
        lived, fresh = await corpus.scores("lived", question), await corpus.scores("fresh", question)
        both = lived.keys() & fresh.keys()
        largest = max([largest, *(abs(lived[uri] - fresh[uri]) for uri in both)])
        compared += len(both)
        missing += len(lived.keys() ^ fresh.keys())
    return largest, compared, missing


def main(
    operations: Annotated[int, typer.Option(min=10, help="Inserts, updates and deletes together.")] = 10_000,
    writers: Annotated[int, typer.Option(min=1, max=32, help="How many write at the same time.")] = 4,
    seed: Annotated[int, typer.Option(help="Of the random documents.")] = 1,
) -> None:
    """Run the drill and print its table."""
    configure_logging(level="warning", json=False)
    with TemporaryDirectory(prefix="fn-drill-") as folder:
        settings = load_settings(data_dir=Path(folder) / "data")
        with connected(settings, share=False) as ready:
            assert ready.database_url is not None  # noqa: S101 - `connected` sets it
            rows, passed = asyncio.run(_drill(ready.database_url.get_secret_value(), operations, writers, seed))
    table = Table("", "", show_header=False, box=None, padding=(0, 1))
    for name, value in rows:
        table.add_row(name, value)
    Console().print(table)
    if not passed:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
