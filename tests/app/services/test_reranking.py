"""Reranking: another order when it can be had in time, the order of before when not."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from app.domain.errors import ProviderUnavailable
from app.domain.passage import Passage
from app.services.reranking import Reranking

LIMIT_S = 0.3


def passage(name: str, text: str = "", **fields: object) -> Passage:
    values: dict[str, object] = {"title": name, "uri": "u", "heading_path": (), "page": None, "score": 0.01, **fields}
    return Passage(id=name, document_id="d", version_id="v", char_start=0, char_end=1, text=text or name, **values)  # type: ignore[arg-type]


PASSAGES = [passage(name) for name in "abcd"]


class Fake:
    """A reranker that does what the test says."""

    name = "fake"

    def __init__(self, scores: Callable[[Sequence[str]], Awaitable[list[float]]]) -> None:
        self._scores = scores
        self.texts: list[str] = []
        self.cancelled = self.closed = False

    async def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        del query
        self.texts = list(texts)
        try:
            return await self._scores(texts)
        except asyncio.CancelledError:
            self.cancelled = True
            raise

    async def close(self) -> None:
        self.closed = True


def ascending() -> Fake:
    async def scores(texts: Sequence[str]) -> list[float]:
        return [float(n) for n in range(len(texts))]

    return Fake(scores)


def counted(end: str) -> float:
    return REGISTRY.get_sample_value("footnote_rerankings_total", {"end": end}) or 0.0


def names(passages: Sequence[Passage]) -> str:
    return "".join(found.id for found in passages)


async def test_the_order_is_the_rerankers_and_so_are_the_scores() -> None:
    before = counted("applied")
    reranked = await Reranking(ascending(), timeout_s=LIMIT_S, candidates=10).apply("q", PASSAGES)
    assert (names(reranked.passages), reranked.applied, reranked.reason) == ("dcba", True, None)
    assert [found.score for found in reranked.passages] == [3, 2, 1, 0]
    assert counted("applied") == before + 1


async def test_only_the_candidates_are_asked_about_and_the_rest_follows() -> None:
    fake = ascending()
    reranked = await Reranking(fake, timeout_s=LIMIT_S, candidates=2).apply("q", PASSAGES)
    assert names(reranked.passages) == "bacd"
    assert len(fake.texts) == 2


async def test_equal_scores_keep_their_order() -> None:
    async def scores(texts: Sequence[str]) -> list[float]:
        return [0.5] * len(texts)

    reranked = await Reranking(Fake(scores), timeout_s=LIMIT_S, candidates=10).apply("q", PASSAGES)
    assert names(reranked.passages) == "abcd"


async def test_nothing_found_asks_nobody() -> None:
    fake = ascending()
    reranked = await Reranking(fake, timeout_s=LIMIT_S, candidates=2).apply("q", [])
    assert (reranked.passages, reranked.applied, fake.texts) == ([], True, [])


async def test_headings_go_along_as_context() -> None:
    fake = ascending()
    found = [passage("Ferry", "At nine.", heading_path=("Ferry", "Sundays")), passage("Rye", "Rest it.")]
    await Reranking(fake, timeout_s=LIMIT_S, candidates=9).apply("q", found)
    assert fake.texts == ["Ferry › Sundays\nAt nine.", "Rye\nRest it."]


async def test_a_provider_that_fails_changes_nothing_and_is_told() -> None:
    async def scores(_: Sequence[str]) -> list[float]:
        raise ProviderUnavailable("It is down.")

    before = counted("failed")
    with capture_logs() as logged:
        reranked = await Reranking(Fake(scores), timeout_s=LIMIT_S, candidates=10).apply("q", PASSAGES)
    assert (reranked.passages, reranked.applied, reranked.reason) == (PASSAGES, False, "It is down.")
    assert counted("failed") == before + 1
    assert [(line["event"], line["log_level"], line["reason"]) for line in logged] == [
        ("rerank.failed_open", "warning", "It is down.")
    ]


async def test_the_time_limit_holds_even_when_cancelling_takes_longer() -> None:
    async def scores(_: Sequence[str]) -> list[float]:
        try:
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(1.0)  # as a model on this machine, which stops between batches
        return []

    fake, before = Fake(scores), counted("timed_out")
    reranking = Reranking(fake, timeout_s=LIMIT_S, candidates=10)
    started = time.monotonic()
    reranked = await reranking.apply("q", PASSAGES)
    assert time.monotonic() - started >= LIMIT_S
    assert not fake.cancelled, "the answer did not wait until the model had stopped"
    assert (reranked.passages, reranked.applied) == (PASSAGES, False)
    assert reranked.reason == "The reranker was not done within 0.3 s."
    assert counted("timed_out") == before + 1
    await reranking.close()
    assert fake.cancelled
    assert fake.closed


async def test_a_late_failure_is_logged_and_not_lost() -> None:
    async def scores(_: Sequence[str]) -> list[float]:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError as stopped:
            raise ProviderUnavailable("It broke while it was stopped.") from stopped
        return []

    reranking = Reranking(Fake(scores), timeout_s=0.01, candidates=10)
    with capture_logs() as logged:
        await reranking.apply("q", PASSAGES)
        await reranking.close()
    assert [line["event"] for line in logged] == ["rerank.failed_open", "rerank.ended_late"]


async def test_a_search_that_is_stopped_stops_the_reranker() -> None:
    async def scores(_: Sequence[str]) -> list[float]:
        await asyncio.sleep(30)
        return []

    fake = Fake(scores)
    reranking = Reranking(fake, timeout_s=30, candidates=10)
    search = asyncio.create_task(reranking.apply("q", PASSAGES))
    await asyncio.sleep(0.05)
    search.cancel()
    with pytest.raises(asyncio.CancelledError):
        await search
    await reranking.close()
    assert fake.cancelled


async def test_a_fault_of_ours_is_not_hidden() -> None:
    async def scores(_: Sequence[str]) -> list[float]:
        return [1.0]

    with pytest.raises(ValueError, match="zip"):
        await Reranking(Fake(scores), timeout_s=LIMIT_S, candidates=10).apply("q", PASSAGES)


async def test_a_reply_that_breaks_its_reader_fails_open() -> None:
    async def breaks(_: Sequence[str]) -> list[float]:
        raise RecursionError("maximum recursion depth exceeded while deserializing an object")

    reranked = await Reranking(Fake(breaks), timeout_s=LIMIT_S, candidates=10).apply("q", PASSAGES)
    assert (names(reranked.passages), reranked.applied) == ("abcd", False)
    assert reranked.reason == "The reranker sent something unexpected."
