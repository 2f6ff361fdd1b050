"""Reindexing while the installation lives: questions are asked, documents come, and the builder is killed."""

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from app.bootstrap import make_retrieval
from app.domain.errors import EmbedderMismatch, GenerationRetired
from app.domain.passage import Passage
from app.domain.principal import Principal
from app.providers.fakes import HashEmbedder
from app.services import retrieval
from app.services.retrieval import SearchRequest
from ingestion import filling
from ingestion.generations import rollback, status
from ingestion.reindex import Report, reindex
from tests.fixtures.reindexing import WORDS, Library, cosine
from tests.fixtures.slow_reindex import SlowEmbedder

CHUNKER, SMALLER = "structure-v2/200", "structure-v2/60"


@contextmanager
def builder(library: Library, seconds: float = 0.05) -> Iterator[subprocess.Popen[bytes]]:
    """`reindex` to 96 dimensions in a process of its own; what still runs at the end is killed."""
    command = [sys.executable, "-m", "tests.fixtures.slow_reindex", library.database.url, "96", CHUNKER, str(seconds)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


async def until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def test_killed_at_three_random_points_it_goes_on(library: Library) -> None:
    chunks, there = library.vectors(1), 0
    for third in range(3):
        point = random.randint(chunks * third // 3, chunks * (third + 1) // 3 - 24)
        with builder(library) as process:
            await until(lambda point=point: library.vectors(2) > point, process)  # type: ignore[misc]
        assert library.vectors(2) >= there, "what was written stays"
        there = library.vectors(2)
        assert library.generations() == [(1, "active"), (2, "building")]
    before = (await status(library.database)).generations[1].progress
    report = await reindex(library.database, HashEmbedder(96), CHUNKER)
    assert report.resumed
    assert report.written <= before.pending < before.documents
    assert library.generations() == [(1, "retired"), (2, "active")]
    assert library.vectors(2) == chunks


@pytest.mark.parametrize(("index", "table"), [("hnsw_2", "chunk_embedding"), ("lexical_2", "chunk_lexeme")])
async def test_killed_while_its_index_is_built_it_goes_on(library: Library, index: str, table: str) -> None:
    left = f"SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{index}')"
    with psycopg.connect(library.database.url) as slow_writer:
        slow_writer.execute(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE")  # the index build waits for it
        with builder(library, seconds=0) as process:
            await until(lambda: library.query(left) == [(False,)], process)
        assert (await status(library.database)).generations[1].overview.indexed is False
    report = await reindex(library.database, HashEmbedder(96), CHUNKER)
    assert (report.resumed, report.written) == (True, 0)
    assert library.query(left) == [(True,)]
    assert (await status(library.database)).generations[1].overview.indexed
    assert library.generations() == [(1, "retired"), (2, "active")]


async def test_documents_that_come_meanwhile_are_in_it_at_the_flip(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "EMBED_CHUNKS", 8)
    written = 0

    async def bring_documents() -> None:
        nonlocal written
        while True:  # until another generation is the active one
            library.write(range(written % 40, written % 40 + 1), extra=f"changed{written}")
            library.write(range(40 + written, 41 + written))
            await library.ingest()
            # in a thread: the row may be locked by what this thread is to go on with
            await asyncio.to_thread(library.query, "DELETE FROM document WHERE source_uri LIKE '%%/039.md'")
            written += 1

    async def report_of_build() -> Report:
        return await reindex(library.database, SlowEmbedder(96, 0.05), CHUNKER)

    writer = asyncio.create_task(bring_documents())
    report = await report_of_build()
    with pytest.raises((GenerationRetired, EmbedderMismatch)):
        await writer
    assert written > 0
    assert library.generations() == [(1, "retired"), (2, "active")]
    found = (await status(library.database)).generations
    assert [one.progress.pending for one in found] == [0, 0]
    assert report.pending == 0
    assert library.vectors(1) == library.vectors(2)
    for generation in (1, 2):
        assert await library.wrong_statistics(generation) == 0


@pytest.mark.parametrize(("dimensions", "chunker"), [(96, CHUNKER), (64, SMALLER)], ids=["embedder", "chunks"])
async def test_questions_meanwhile_all_get_answers_of_one_generation(
    library: Library, monkeypatch: pytest.MonkeyPatch, dimensions: int, chunker: str
) -> None:
    monkeypatch.setattr(filling, "EMBED_CHUNKS", 8)
    monkeypatch.setattr(retrieval, "GENERATION_CACHE_S", 0.02)
    answers: list[tuple[str, list[Passage]]] = []
    stop = asyncio.Event()

    async def ask(seed: int) -> None:
        chance = random.Random(seed)
        serving = make_retrieval(library.settings, library.database, HashEmbedder(64))
        while not stop.is_set():
            question = " ".join(chance.choices(WORDS, k=3))
            answers.append((question, await serving.search(Principal(), SearchRequest(question, 5))))

    clients = [asyncio.create_task(ask(seed)) for seed in range(4)]
    await reindex(library.database, SlowEmbedder(dimensions, 0.02), chunker)
    for _ in range(4):  # back and forth
        await asyncio.sleep(0.1)
        await rollback(library.database)
    await asyncio.sleep(0.1)
    stop.set()
    await asyncio.gather(*clients)  # a failed question raises here
    chunkers = dict(library.query("SELECT id::text, chunker FROM chunk"))
    assert len(answers) > 50
    seen = set()
    for _question, passages in answers:
        assert len(passages) == 5
        assert len({chunkers[passage.id] for passage in passages}) == 1
        seen.add(chunkers[passages[0].id])
    for question, passages in random.sample(answers, 30):
        for passage in passages:
            if passage.similarity is not None:  # None: only its words were found
                assert passage.similarity == pytest.approx(await cosine(64, question, passage), abs=2e-3)
    assert seen == {CHUNKER, chunker}
