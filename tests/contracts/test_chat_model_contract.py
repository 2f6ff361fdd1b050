"""The contract of every chat model, held by the fake and the real ones alike."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from functools import partial

import pytest

from app.domain.conversation import ChatMessage
from app.domain.errors import ProviderError
from app.domain.ports import ChatDelta, ChatModel
from app.providers.chat_model import make_chat_model
from app.providers.fakes import ScriptedChatModel
from app.settings import Settings
from tests.fixtures.openai_server import fake_upstream, is_generating, llama_server

LONG_STORY = [ChatMessage("system", "You tell stories."), ChatMessage("user", "Tell a long story. [[tokens=2000]]")]
QUICKLY_S = 15  # on a busy machine; a story to its end takes longer on an idle one
ENDLESS = [ChatMessage("user", "word " * 3000)]  # more than a context of 2048 takes


@dataclass
class Case:
    """A model, how one sees that nothing is being generated, and a model and prompt that fail at once."""

    model: ChatModel
    is_idle: Callable[[], bool]
    failing: ChatModel
    failing_prompt: list[ChatMessage] = field(default_factory=lambda: list(LONG_STORY))


@pytest.fixture(scope="module")
def llama() -> Iterator[str]:
    with llama_server() as base_url:
        yield base_url


@contextmanager
def scripted() -> Iterator[Case]:
    model = ScriptedChatModel(tokens_per_s=50)
    yield Case(model, lambda: model.open_streams == 0, model, [ChatMessage("user", "[[fail-first]]")])


@contextmanager
def local() -> Iterator[Case]:
    model = make_chat_model(Settings(chat_model="local", chat_threads=1))
    # one answer at a time: that nothing runs shows in the next answer coming at once, which the tests ask for
    yield Case(model, lambda: True, model, ENDLESS)


@contextmanager
def langchain_and_fake() -> Iterator[Case]:
    with fake_upstream(tokens=2000, tokens_per_s=50) as upstream, fake_upstream(status=500) as broken:
        model, failing = (
            make_chat_model(Settings(chat_model="openai:m", chat_base_url=u.base_url)) for u in (upstream, broken)
        )
        yield Case(model, lambda: upstream.active == 0, failing)


@contextmanager
def langchain_and_llama(base_url: str) -> Iterator[Case]:
    model = make_chat_model(Settings(chat_model="openai:m", chat_base_url=base_url))
    yield Case(model, lambda: not is_generating(base_url), model, ENDLESS)


@pytest.fixture(params=["scripted", "local", "langchain and fake", "langchain and llama"])
async def case(request: pytest.FixtureRequest) -> AsyncIterator[Case]:
    cases = {"scripted": scripted, "local": local, "langchain and fake": langchain_and_fake}
    if request.param == "langchain and llama":
        cases["langchain and llama"] = partial(langchain_and_llama, request.getfixturevalue("llama"))
    with cases[request.param]() as made:
        yield made
        await made.model.close()
        if made.failing is not made.model:
            await made.failing.close()


async def collect(model: ChatModel, max_tokens: int, messages: list[ChatMessage] = LONG_STORY) -> list[ChatDelta]:
    async with aclosing(model.stream(messages, max_tokens=max_tokens)) as deltas:
        return [delta async for delta in deltas]


async def becomes_idle(case: Case) -> bool:
    """Whether nothing is generated any more, long before the story would have ended by itself."""
    deadline = time.monotonic() + QUICKLY_S
    while not await asyncio.to_thread(case.is_idle):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.01)
    return True


async def test_text_comes_in_pieces_and_the_last_delta_counts_tokens(case: Case) -> None:
    *pieces, last = await collect(case.model, max_tokens=12)
    assert len(pieces) > 3
    assert all(piece.text and piece.completion_tokens is None and piece.finish_reason is None for piece in pieces)
    assert last.text == ""
    assert last.prompt_tokens
    assert last.completion_tokens == 12


async def test_max_tokens_cuts_the_answer_and_says_so(case: Case) -> None:
    *pieces, last = await collect(case.model, max_tokens=5)
    assert len(pieces) <= 5
    assert (last.completion_tokens, last.finish_reason) == (5, "length")


async def test_the_same_prompt_gives_the_same_text(case: Case) -> None:
    first, second = [await collect(case.model, max_tokens=8) for _ in range(2)]
    assert [delta.text for delta in first] == [delta.text for delta in second]


async def test_closing_the_stream_stops_the_generation(case: Case) -> None:
    stream = case.model.stream(LONG_STORY, max_tokens=1500)
    for _ in range(3):
        await anext(stream)
    await stream.aclose()
    assert await becomes_idle(case)
    await asyncio.wait_for(collect(case.model, max_tokens=3), QUICKLY_S)  # and the model is free for the next one


async def test_cancelling_the_reading_task_stops_the_generation(case: Case) -> None:
    task = asyncio.create_task(collect(case.model, max_tokens=1500))
    await asyncio.sleep(0.7)  # somewhere in the middle
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await becomes_idle(case)
    await asyncio.wait_for(collect(case.model, max_tokens=3), QUICKLY_S)


async def test_a_stream_that_was_never_read_can_be_closed(case: Case) -> None:
    await case.model.stream(LONG_STORY, max_tokens=5).aclose()
    assert await becomes_idle(case)


async def test_streams_at_the_same_time_all_finish(case: Case) -> None:
    answers = await asyncio.gather(*(collect(case.model, max_tokens=n) for n in (4, 6, 8)))
    assert [deltas[-1].completion_tokens for deltas in answers] == [4, 6, 8]


async def test_a_failure_before_the_first_token_is_a_provider_error(case: Case) -> None:
    with pytest.raises(ProviderError):
        await collect(case.failing, max_tokens=5, messages=case.failing_prompt)


async def test_the_profile_names_the_model_and_its_context(case: Case) -> None:
    assert case.model.profile.name
    assert case.model.profile.context_tokens >= 2048
