"""LangChain chat models against upstreams that count and misbehave."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk

from app.domain.conversation import ChatMessage
from app.domain.errors import ProviderError, ProviderRejected, ProviderTimedOut, ProviderUnavailable
from app.domain.ports import ChatDelta, ChatModel, ChatModelProfile
from app.providers.chat_model import make_chat_model
from app.providers.langchain_chat import LangChainChatModel
from app.providers.resilience import Endpoint
from app.settings import Settings
from tests.fixtures.openai_server import FakeUpstream, fake_upstream

PROMPT = [ChatMessage("system", "Be brief."), ChatMessage("user", "Say something.")]
PROVIDERS = ["openai", "anthropic", "ollama"]


@asynccontextmanager
async def model_at(upstream: FakeUpstream, provider: str = "openai", **settings: Any) -> AsyncIterator[ChatModel]:
    base_url = upstream.base_url if provider == "openai" else upstream.url
    model = make_chat_model(Settings(chat_model=f"{provider}:m", chat_base_url=base_url, **settings))
    yield model
    await model.close()


async def read(model: ChatModel, max_tokens: int = 50) -> list[ChatDelta]:
    return [delta async for delta in model.stream(PROMPT, max_tokens=max_tokens)]


async def eventually(condition: Any) -> None:
    """Wait until the upstream's thread has noticed."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_every_provider_streams_counts_and_says_why_it_ended(provider: str) -> None:
    with fake_upstream(tokens=6) as upstream:
        async with model_at(upstream, provider) as model:
            *pieces, last = await read(model)
            assert [piece.text for piece in pieces] == [f" word{n}" for n in range(1, 7)]
            assert last == ChatDelta("", 7, 6, "stop")
            assert (await read(model, max_tokens=3))[-1] == ChatDelta("", 7, 3, "length")
    first = upstream.requests[0]
    assert first.get("temperature", first.get("options", {}).get("temperature")) == 0
    assert first["stream"] is True


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_what_no_database_takes_is_made_whole(provider: str) -> None:
    words = ["a\0b", "\ud83d", "\ude00!", "\ud83d", "c", "\ud83d"]
    with fake_upstream(tokens=len(words), words=words) as upstream:
        async with model_at(upstream, provider) as model:
            assert "".join(piece.text for piece in await read(model)) == "ab\N{GRINNING FACE}!\ufffdc\ufffd"


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_thoughts_sent_as_text_are_left_out(provider: str) -> None:
    words = ["<thi", "nk>\nWell", " then…</", "think>", "\n\nAt", " nine."]
    with fake_upstream(tokens=len(words), words=words) as upstream:
        async with model_at(upstream, provider) as model:
            *pieces, last = await read(model)
            assert [piece.text for piece in pieces] == ["At", " nine."]
            assert last == ChatDelta("", 7, 6, "stop")


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_closing_ends_the_generation_upstream(provider: str) -> None:
    with fake_upstream(tokens=1000, tokens_per_s=100) as upstream:
        async with model_at(upstream, provider) as model:
            stream = model.stream(PROMPT, max_tokens=1000)
            for _ in range(5):
                await anext(stream)
            await stream.aclose()
            await eventually(lambda: upstream.active == 0)
    assert upstream.disconnected_at
    assert upstream.disconnected_at[0] < 50


def of(model: Any) -> LangChainChatModel:
    """A LangChain model behind our port."""
    return LangChainChatModel(
        cast("BaseChatModel", model),
        ChatModelProfile("test:m", 1000),
        Endpoint("test", "m", "FOOTNOTE_CHAT_MODEL"),
        timeout_s=30,
        call_options=lambda _max_tokens: {},
    )


class _Swallows:
    """A LangChain model that overhears the first cancellation, as asyncio.wait_for does when a piece comes with it."""

    def __init__(self, *, then_silent: bool) -> None:
        self.pieces, self.swallowed, self.ended = 0, False, False
        self._then_silent = then_silent

    async def astream(self, _prompt: Any, **_options: Any) -> AsyncIterator[AIMessageChunk]:
        try:
            while self.pieces < 500:
                try:
                    await asyncio.sleep(3600 if self._then_silent and self.swallowed else 0.01)
                except asyncio.CancelledError:
                    if self.swallowed:
                        raise
                    self.swallowed = True
                self.pieces += 1
                yield AIMessageChunk(" word")
        finally:
            self.ended = True


@pytest.mark.parametrize("then_silent", [False, True])
async def test_a_cancellation_that_is_swallowed_is_not_the_last(then_silent: bool) -> None:
    swallows = _Swallows(then_silent=then_silent)
    stream = of(swallows).stream(PROMPT, max_tokens=500)
    for _ in range(5):
        await anext(stream)
    async with asyncio.timeout(10):
        await stream.aclose()
    assert swallows.swallowed
    assert swallows.ended
    assert swallows.pieces < 10, "the provider is not read, and paid, to the end"


async def test_closing_before_the_first_token_ends_the_request() -> None:
    with fake_upstream(hang_after=0) as upstream:
        async with model_at(upstream) as model:
            waiting = asyncio.ensure_future(anext(model.stream(PROMPT, max_tokens=5)))
            await eventually(lambda: upstream.active == 1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await eventually(lambda: upstream.active == 0)


@pytest.mark.parametrize(
    ("status", "kind", "hint"),
    [
        (400, ProviderRejected, "as the test wants"),
        (401, ProviderRejected, "OPENAI_API_KEY"),
        (403, ProviderRejected, "OPENAI_API_KEY"),
        (404, ProviderRejected, "FOOTNOTE_CHAT_MODEL"),
        (429, ProviderRejected, "quota"),
        (500, ProviderUnavailable, "try again"),
        (504, ProviderTimedOut, "FOOTNOTE_CHAT_TIMEOUT_S"),
    ],
)
async def test_http_errors_say_what_to_do(status: int, kind: type[ProviderError], hint: str) -> None:
    with fake_upstream(status=status) as upstream:
        async with model_at(upstream) as model:
            with pytest.raises(kind) as caught:
                await read(model)
    assert hint in caught.value.message
    assert upstream.base_url in caught.value.message


@pytest.mark.parametrize(
    ("status", "kind"), [(401, ProviderRejected), (404, ProviderRejected), (500, ProviderUnavailable)]
)
@pytest.mark.parametrize("provider", ["anthropic", "ollama"])
async def test_other_providers_errors_are_told_apart_too(provider: str, status: int, kind: type[ProviderError]) -> None:
    with fake_upstream(status=status) as upstream:
        async with model_at(upstream, provider) as model:
            with pytest.raises(kind):
                await read(model)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_nobody_there(provider: str) -> None:
    with fake_upstream() as upstream:
        gone = upstream
    async with model_at(gone, provider) as model:
        with pytest.raises(ProviderUnavailable, match="Cannot reach"):
            await read(model)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("fault", ["break_after", "end_after"])
async def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one(provider: str, fault: str) -> None:
    with fake_upstream(**{fault: 3}) as upstream:
        async with model_at(upstream, provider) as model:
            stream = model.stream(PROMPT, max_tokens=50)
            assert [(await anext(stream)).text for _ in range(3)] == [" word1", " word2", " word3"]
            with pytest.raises(ProviderUnavailable):
                await anext(stream)


@pytest.mark.parametrize(
    ("provider", "reason"),
    [("openai", "content_filter"), ("anthropic", "refusal"), ("ollama", "content_filter")],
)
async def test_an_answer_that_is_withheld_is_not_taken_for_a_whole_one(provider: str, reason: str) -> None:
    with fake_upstream(tokens=3, reason=reason) as upstream:
        async with model_at(upstream, provider) as model:
            with pytest.raises(ProviderRejected, match=rf"withheld the answer.*\({reason}\).*content filter"):
                await read(model)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_page_in_place_of_an_answer_is_told(provider: str) -> None:
    with fake_upstream(body="<!doctype html><title>Welcome</title>") as upstream:
        async with model_at(upstream, provider) as model:
            with pytest.raises(ProviderUnavailable, match="base URL"):
                await read(model)


async def test_counts_that_come_with_every_token_are_not_added_up() -> None:
    with fake_upstream(tokens=5, counts_always=True) as upstream:
        async with model_at(upstream) as model:
            assert (await read(model))[-1] == ChatDelta("", 7, 5, "stop")


async def test_bedrock_says_why_it_ended_under_another_name() -> None:
    class Bedrock:
        async def astream(self, _prompt: Any, **_options: Any) -> AsyncIterator[AIMessageChunk]:
            yield AIMessageChunk("Yes.")
            yield AIMessageChunk("", response_metadata={"stopReason": "max_tokens"})

    assert (await read(of(Bedrock())))[-1].finish_reason == "length"


async def test_an_error_event_in_the_stream_is_a_failure() -> None:
    with fake_upstream(error_after=2) as upstream:
        async with model_at(upstream) as model:
            with pytest.raises(ProviderError, match="as the test wants"):
                await read(model)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_silence_times_out(provider: str) -> None:
    with fake_upstream(hang_after=2) as upstream:
        async with model_at(upstream, provider, chat_timeout_s=0.4) as model:
            with pytest.raises(ProviderTimedOut, match="FOOTNOTE_CHAT_TIMEOUT_S"):
                await asyncio.wait_for(read(model), 20)
            await eventually(lambda: upstream.active == 0)


async def test_the_key_is_sent_but_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-secret-0123456789"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    for status in (400, 401, 500):
        with fake_upstream(status=status, message=f"the key {key} is bad") as upstream:
            async with model_at(upstream) as model:
                with pytest.raises(ProviderError) as caught:
                    await read(model)
        assert key not in caught.value.message
        assert upstream.keys[0] == f"Bearer {key}"


async def test_ollama_is_told_the_context_it_needs() -> None:
    with fake_upstream(tokens=1) as upstream:
        async with model_at(upstream, "ollama", chat_context_tokens=8192) as model:
            await read(model)
    assert upstream.requests[0]["options"] == {"num_predict": 50, "num_ctx": 8192, "temperature": 0}
    assert upstream.requests[0]["think"] is False


async def test_an_address_with_a_password_is_named_without_it() -> None:
    with fake_upstream(status=404) as upstream:
        base_url = upstream.base_url.replace("http://", "http://ann:pw-1234@")
        model = make_chat_model(Settings(chat_model="openai:m", chat_base_url=base_url))
        with pytest.raises(ProviderRejected) as caught:
            await read(model)
        await model.close()
    assert "pw-1234" not in caught.value.message
