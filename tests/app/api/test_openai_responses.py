"""OpenAI Responses with OpenAI's own client: streams, resuming, background, conversations, stops, failures."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import httpx
import openai
import pytest

from app.settings import Settings
from tests.fixtures.server import Server, chat, text_of

pytestmark = pytest.mark.usefixtures("corpus")
QUESTION = "When does the ferry to Holm Island leave?"


@pytest.fixture
async def sdk(server: Server) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client:
        yield client


async def test_a_stream_in_the_protocols_order_resumes_anywhere(sdk: openai.AsyncOpenAI) -> None:
    stream = await sdk.responses.create(model="footnote", input=QUESTION, stream=True, metadata={"place": "quay"})
    events = [event async for event in stream]
    kinds = [event.type for event in events]
    assert kinds[:5] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
    ]
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers))
    assert events[-1].type == "response.completed"
    final = events[-1].response
    assert final.output_text == "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert final.metadata == {"place": "quay"}
    assert final.usage is not None
    assert final.usage.output_tokens > 0
    notes = [e.annotation for e in events if e.type == "response.output_text.annotation.added"]
    item = final.output[0]
    assert item.type == "message"
    assert item.content[0].type == "output_text"
    assert [note.model_dump() for note in item.content[0].annotations] == notes != []

    for place in (0, 6, len(events) - 1):
        rest = await sdk.responses.retrieve(final.id, stream=True, starting_after=numbers[place])
        got = [(event.sequence_number, event.type) async for event in rest]
        expected = [(event.sequence_number, event.type) for event in events[place + 1 :]]
        assert got == expected or (place == len(events) - 1 and got == [(numbers[-1] + 1, "response.completed")])
    stored = await sdk.responses.retrieve(final.id)
    assert (stored.output_text, stored.output) == (final.output_text, final.output)
    assert (stored.metadata, stored.background) == ({"place": "quay"}, False)
    last = [event async for event in await sdk.responses.retrieve(final.id, stream=True)][-1]
    assert last.type == "response.completed"
    assert last.response == final


async def test_the_sdks_own_stream_and_a_conversation(sdk: openai.AsyncOpenAI, client: httpx.AsyncClient) -> None:
    async with sdk.responses.stream(model="footnote", input=QUESTION) as stream:
        first = await stream.get_final_response()
    second = await sdk.responses.create(
        model="footnote", input="And how long does it take?", previous_response_id=first.id
    )
    assert first.conversation is not None
    assert second.conversation == first.conversation
    assert (await sdk.responses.retrieve(second.id)).previous_response_id == first.id
    third = await sdk.responses.create(
        model="footnote",
        conversation=first.conversation.id,
        input=[{"role": "user", "content": [{"type": "input_text", "text": "What does it cost?"}]}],
    )
    assert third.conversation == first.conversation
    conversation_id = first.conversation.id.removeprefix("conv_")
    stored = (await client.get(f"/v1/conversations/{conversation_id}")).json()["messages"]
    assert [message["text"] for message in stored[1::2]] == [r.output_text for r in (first, second, third)]
    events = await chat(client, QUESTION)
    native = await sdk.responses.retrieve(f"resp_{events[0].data['run_id']}")
    assert native.output_text == text_of(events)
    with pytest.raises(openai.NotFoundError, match="no conversation with the id"):
        await sdk.responses.create(model="footnote", input="Hello?", conversation="conv_nonsense")


async def test_messages_named_as_items_are_what_was_said_before(
    sdk: openai.AsyncOpenAI, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[list[tuple[str, str]]]()
    answer = server.services.runs._answering.answer

    def answering(principal: Any, question: Any, history: Any, provenance: Any) -> Any:
        asked.append([(message.role, message.content) for message in history])
        return answer(principal, question, history, provenance)

    monkeypatch.setattr(server.services.runs._answering, "answer", answering)
    first = await sdk.responses.create(model="footnote", input=QUESTION)
    names = ("rs_1", "msg_", f"msg_{uuid4().hex}", first.output[0].id, f"{first.output[0].id}_1")
    items: list[Any] = [{"type": "item_reference", "id": name} for name in names]
    turns = [{"role": "user", "content": text} for text in (QUESTION, "And how long?")]
    await sdk.responses.create(model="footnote", input=[turns[0], *items, turns[1]])
    said = ("assistant", first.output_text)
    assert asked[1] == [("user", QUESTION), said, said]


async def test_a_response_that_others_followed_is_followed_by_a_branch(
    sdk: openai.AsyncOpenAI, client: httpx.AsyncClient, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[list[str]]()
    answer = server.services.runs._answering.answer

    def answering(principal: Any, question: Any, history: Any, provenance: Any) -> Any:
        asked.append([message.content for message in history])
        return answer(principal, question, history, provenance)

    monkeypatch.setattr(server.services.runs._answering, "answer", answering)
    first = await sdk.responses.create(model="footnote", input=QUESTION)
    second = await sdk.responses.create(
        model="footnote", input="And how long does it take?", previous_response_id=first.id
    )
    branch = await sdk.responses.create(model="footnote", input="What does it cost?", previous_response_id=first.id)
    twig = await sdk.responses.create(model="footnote", input="And at night?", previous_response_id=branch.id)
    third = await sdk.responses.create(model="footnote", input="And on Sundays?", previous_response_id=second.id)
    begun = [QUESTION, first.output_text]
    assert asked == [
        [],
        begun,
        begun,
        [*begun, "What does it cost?", branch.output_text],
        [*begun, "And how long does it take?", second.output_text],
    ]
    assert branch.conversation is not None
    assert twig.conversation == branch.conversation != first.conversation
    assert third.conversation == first.conversation
    answers = list[dict[str, Any]]()
    for response in (first, branch):
        conversation_id = response.conversation.id.removeprefix("conv_")  # type: ignore[union-attr]
        answers.append((await client.get(f"/v1/conversations/{conversation_id}")).json()["messages"][1])
    told = [{key: value for key, value in each.items() if key not in {"id", "run_id"}} for each in answers]
    assert told[0] == told[1]
    assert told[0]["citations"]
    copied = await sdk.responses.retrieve(f"resp_{answers[1]['run_id']}")
    assert copied.output_text == first.output_text
    assert (await sdk.responses.retrieve(first.id)).conversation == first.conversation


async def test_background_and_stop(settings: Settings, serve: Callable[[Settings], Server]) -> None:
    server = serve(settings.model_copy(update={"scripted_tokens_per_s": 50}))
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as sdk:
        begun = await sdk.responses.create(model="footnote", input=f"{QUESTION} [[tokens=5000]]", background=True)
        assert begun.status == "in_progress"
        assert (await sdk.responses.retrieve(begun.id)).status == "in_progress"
        with pytest.raises(openai.ConflictError, match="still being written"):
            await sdk.responses.create(model="footnote", input="And then?", previous_response_id=begun.id)
        reading = await sdk.responses.retrieve(begun.id, stream=True)
        async for event in reading:
            if event.type == "response.output_text.delta":
                break
        stopped = await sdk.responses.cancel(begun.id)
        assert stopped.status == "cancelled"
        rest = [event async for event in reading]
        last = rest[-1]
        assert last.type == "response.incomplete"
        assert last.response.status == "cancelled"
        assert last.response.output_text == stopped.output_text != ""

        left = await sdk.responses.create(model="footnote", input=f"{QUESTION} [[tokens=30]]", stream=True)
        first = await anext(aiter(left))
        await left.close()
        assert first.type == "response.created"
        async with asyncio.timeout(30):
            while (now := await sdk.responses.retrieve(first.response.id)).status == "in_progress":
                await asyncio.sleep(0.1)
        assert now.status == "completed"


async def test_a_failing_provider_fails_the_response(sdk: openai.AsyncOpenAI) -> None:
    for directive, kept in (("[[fail-first]]", False), ("[[fail-after=30]]", True)):
        asked = f"{QUESTION} {directive}"
        stream = await sdk.responses.create(model="footnote", input=asked, stream=True)
        events = [event async for event in stream]
        last = events[-1]
        assert last.type == "response.failed"
        assert last.response.error is not None
        assert "scripted model failed" in last.response.error.message
        assert bool(last.response.output_text) is kept
        whole = await sdk.responses.create(model="footnote", input=asked)
        assert (whole.status, whole.error) == ("failed", last.response.error)
