"""The contract of every reranker: three protocols over HTTP, and the language model's yes or no."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import ExitStack

import pytest

from app.domain.ports import Reranker
from app.providers.reranker import make_reranker
from app.settings import Settings
from tests.fixtures.rerank_server import rerank_server, token_similarity

TEXTS = [
    "The river rises in spring and floods the meadows.",
    "The backup starts every night at half past two.",
    "Rye dough needs sourdough.",
]
QUESTION = "At what time does the nightly backup start?"


@pytest.fixture(params=["cohere:m", "jina:m", "tei", "chat"])
async def reranker(request: pytest.FixtureRequest) -> AsyncIterator[Reranker]:
    with ExitStack() as stack:
        settings = {"reranker": request.param, "reranker_timeout_s": 60, "chat_threads": 1, "chat_prompt_threads": 1}
        if request.param != "chat":
            settings["reranker_base_url"] = stack.enter_context(rerank_server(token_similarity)).url
        made = make_reranker(Settings.model_validate(settings))
        assert made is not None
        yield made
        await made.close()


async def test_one_finite_score_for_each_text_in_their_order(reranker: Reranker) -> None:
    forwards = await reranker.rerank(QUESTION, TEXTS)
    assert len(forwards) == len(TEXTS)
    assert all(math.isfinite(score) for score in forwards)
    assert len(set(forwards)) == len(TEXTS)
    backwards = await reranker.rerank(QUESTION, TEXTS[::-1])
    assert backwards[::-1] == pytest.approx(forwards, abs=0.02)


async def test_no_texts_no_scores(reranker: Reranker) -> None:
    assert await reranker.rerank(QUESTION, []) == []


async def test_texts_of_any_length_are_taken(reranker: Reranker) -> None:
    scores = await reranker.rerank("", ["", "word " * 5000])
    assert all(math.isfinite(score) for score in scores)


async def test_it_can_be_cancelled_and_goes_on(reranker: Reranker) -> None:
    task = asyncio.create_task(reranker.rerank(QUESTION, TEXTS))
    await asyncio.sleep(0)  # it has begun, and nothing can have answered
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(await reranker.rerank(QUESTION, TEXTS[:1])) == 1


async def test_it_has_a_name(reranker: Reranker) -> None:
    assert reranker.name.startswith(("cohere:m", "jina:m", "tei", "chat:local:"))
