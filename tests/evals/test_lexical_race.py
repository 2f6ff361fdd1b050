"""The race of lexical designs: without pruning each one's scores are exact BM25, before and after writes."""

from pathlib import Path

import pytest

from evals.bench.bm25 import overlap
from evals.bench.lexical_race import Chunks, load, make_searches, write
from evals.bench.recombined import Passages
from evals.progress import Progress

SAMPLE = Path("evals/datasets/sample")
CHUNKS = 700  # common words fill more than a block
ODD = "It's a path C:\\share\\tides, 'quoted' \\' and 潮の満ち引き, at o'clock."
UNHEARD = "zyzzyva"


async def test_designs_are_exact_before_and_after_writes(database_url: str) -> None:
    passages = Passages(None, questions=12, seed=3)
    questions = [*passages.questions, ODD, "the the", UNHEARD]
    connection, contestants = await make_searches(database_url)
    async with connection:
        chunks = Chunks(connection, {number: passages.text(number) for number in range(CHUNKS)} | {7: ODD, 8: ""})
        designs = {one.design.name: one.design for one in contestants}.values()

        async def check() -> None:
            exact, places = await chunks.exact()
            for question in questions:
                [(lexemes, counts)] = await chunks.read([question])
                scores = exact.scores(dict(zip(lexemes, counts, strict=True)))
                for one in contestants:
                    found = await one.scored(question, 100)
                    assert all(scores[places[chunk]] == pytest.approx(score, abs=1e-4) for chunk, score in found)
                    assert found == sorted(found, key=lambda row: -row[1])
                    if not one.pruned:
                        assert len(found) == min(100, (scores > 0).sum()), one.name
                        assert overlap(scores, [places[chunk] for chunk, _ in found]) == 1, (one.name, question)

        old = {chunk: chunks.texts[chunk] for chunk in range(0, 80, 2)}
        new = {chunk: passages.made(CHUNKS + chunk) for chunk in old} | {0: "", 2: UNHEARD, 4: f"{ODD} " * 9}
        gone = {chunk: chunks.texts[chunk] for chunk in range(7, 60, 4)}
        with Progress() as progress:
            for design in designs:
                assert await load(connection, design, chunks.texts, progress) > 0
            await check()
            assert all([await one.megabytes() > 0 for one in contestants])
            for design in designs:
                assert min(await write(connection, design, old, new, progress)) > 0
                assert min(await write(connection, design, gone, {}, progress)) > 0
        chunks.replace(new)
        chunks.delete(list(gone))
        await check()


def test_passages_follow_from_their_seed() -> None:
    one, same, other = (Passages(SAMPLE, questions=5, seed=seed) for seed in (1, 1, 2))
    assert one.text(9_999) == same.text(9_999) != other.text(9_999)
    assert one.questions == same.questions != other.questions
    stored = {one.text(number) for number in range(30)}
    assert one.text(9_999) not in stored
