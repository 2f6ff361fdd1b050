"""A real OpenAI-compatible server as the chat model's provider: answers stream, and stop ends the generation there."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from app.settings import Settings
from tests.fixtures.openai_server import is_generating, llama_server
from tests.fixtures.server import Event, Server, chat, read_events, text_of

pytestmark = pytest.mark.usefixtures("corpus")


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with llama_server() as base_url:
        yield base_url


@pytest.fixture
def provided(settings: Settings, serve: Callable[[Settings], Server], upstream: str) -> Server:
    changes = {
        "chat_model": "openai:smollm2",
        "chat_base_url": upstream,
        "chat_context_tokens": 2048,
        "chat_max_tokens": 400,
    }
    return serve(settings.model_copy(update=changes))


async def test_an_answer_comes_through_langchain(provided: Server) -> None:
    async with provided.client() as client:
        events = await chat(client, "When does the ferry to Holm Island leave?")
    assert events[-1].type == "run.completed"
    assert len(text_of(events)) > 10
    [usage] = [event.data for event in events if event.type == "usage"]
    assert usage["prompt_tokens"] > 50
    assert usage["completion_tokens"] > 3


async def test_stop_ends_the_generation_upstream(provided: Server, upstream: str) -> None:
    async with provided.client() as client:
        seen: list[Event] = []
        question = {"message": "Write a very long story about the ferry, with many chapters and every detail of each."}
        stopped = None
        async with client.stream("POST", "/v1/chat", json=question) as response:
            async for event in read_events(response):
                seen.append(event)
                if len(seen) == 8:
                    assert await asyncio.to_thread(is_generating, upstream)
                    stopped = await client.post(f"/v1/runs/{seen[0].data['run_id']}/cancel")
        assert stopped is not None
        assert stopped.json()["state"] == "cancelled"
        assert seen[-1].type == "run.cancelled"
        for _ in range(20):
            if not await asyncio.to_thread(is_generating, upstream):
                break
            await asyncio.sleep(0.05)
        assert not await asyncio.to_thread(is_generating, upstream), "the upstream server works on for nobody"
        stored = (await client.get(f"/v1/conversations/{seen[0].data['conversation_id']}")).json()["messages"][-1]
        assert (stored["state"], stored["text"]) == ("cancelled", text_of(seen))
