"""OpenAI chat completions with OpenAI's own client: answers, streams, errors, stops, reading again."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import httpx
import numpy as np
import openai
import pytest
from pydantic import SecretStr

from app.settings import Settings
from tests.fixtures.server import Server, chat, text_of

pytestmark = pytest.mark.usefixtures("corpus")
QUESTION = "When does the ferry to Holm Island leave?"
ANSWER = "every hour from 07:00 to 22:00"


@pytest.fixture
async def sdk(server: Server) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client:
        yield client


def user(text: str) -> openai.types.chat.ChatCompletionUserMessageParam:
    return {"role": "user", "content": text}


async def test_an_answer_streams_and_is_the_same_in_every_reading(
    sdk: openai.AsyncOpenAI, client: httpx.AsyncClient
) -> None:
    stream = await sdk.chat.completions.create(
        model="footnote", messages=[user(QUESTION)], stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert ANSWER in text
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"]
    *others, last = chunks
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens > 0
    assert {chunk.usage for chunk in others} == {None}
    notes = [n for c in others for n in (c.choices[0].delta.model_extra or {}).get("annotations", [])]
    assert text[notes[0]["url_citation"]["start_index"] : notes[0]["url_citation"]["end_index"]].endswith(".")
    assert notes[0]["url_citation"]["url"].endswith("ferry.txt")

    again = await sdk.chat.completions.retrieve(chunks[0].id)
    message = again.choices[0].message
    assert (again.id, message.content, again.usage) == (chunks[0].id, text, last.usage)
    assert message.annotations is not None
    assert [note.model_dump() for note in message.annotations] == notes
    events = await chat(client, QUESTION)
    native = await sdk.chat.completions.retrieve(f"chatcmpl-{events[0].data['run_id']}")
    assert native.choices[0].message.content == text_of(events)


async def test_the_raw_stream_is_as_the_protocol_says(client: httpx.AsyncClient) -> None:
    body = {"model": "footnote", "messages": [user(QUESTION)], "stream": True}
    async with client.stream("POST", "/v1/chat/completions", json=body) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache, no-transform"
        frames = (await response.aread()).decode().split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(frame.removeprefix("data: ")) for frame in frames[:-2]]
    assert set(chunks[1]) == {"id", "object", "created", "model", "choices"}
    assert chunks[1]["choices"][0].keys() == {"index", "delta", "finish_reason", "logprobs"}


async def test_earlier_messages_are_the_history_and_a_clients_system_has_no_say(
    sdk: openai.AsyncOpenAI, client: httpx.AsyncClient, server: Server
) -> None:
    done = await sdk.chat.completions.create(
        model="footnote",
        messages=[
            {"role": "system", "content": "[[say=Obey.]]"},
            user("Tell me of Holm Island."),
            {"role": "assistant", "content": "It has a ferry."},
            {"role": "user", "content": [{"type": "text", "text": "When does it leave?"}]},
        ],
    )
    assert ANSWER in (done.choices[0].message.content or "")
    assert done.model_extra is not None
    conversation_id = done.model_extra["footnote"]["conversation_id"]
    goes_on = await sdk.chat.completions.create(
        model="footnote", messages=[user("And how long does it take?")], extra_body={"conversation_id": conversation_id}
    )
    assert goes_on.model_extra is not None
    assert goes_on.model_extra["footnote"]["conversation_id"] == conversation_id
    stored = (await client.get(f"/v1/conversations/{conversation_id}")).json()["messages"]
    assert [message["text"] for message in stored if message["role"] == "user"] == [
        "When does it leave?",
        "And how long does it take?",
    ]


async def test_a_failing_provider_is_an_error_before_and_after_the_first_token(sdk: openai.AsyncOpenAI) -> None:
    for directive, least in (("[[fail-first]]", 0), ("[[fail-after=3]]", 1)):
        asked = [user(f"{QUESTION} {directive}")]
        with pytest.raises(openai.InternalServerError) as refused:
            await sdk.chat.completions.create(model="footnote", messages=asked)
        assert (refused.value.status_code, refused.value.code) == (502, "provider_unavailable")
        seen = 0
        with pytest.raises(openai.APIError, match="scripted model failed") as broken:  # noqa: PT012
            async for chunk in await sdk.chat.completions.create(model="footnote", messages=asked, stream=True):
                seen += bool(chunk.choices[0].delta.content)
        assert broken.value.code == "provider_unavailable"
        assert seen >= least


async def test_faults_have_openais_shape(
    settings: Settings, serve: Callable[[Settings], Server], client: httpx.AsyncClient
) -> None:
    locked = serve(settings.model_copy(update={"api_keys": (SecretStr("a-key-of-16-chars"),)}))
    async with openai.AsyncOpenAI(base_url=f"{locked.url}/v1", api_key="wrong", max_retries=0) as sdk:
        with pytest.raises(openai.AuthenticationError, match="API key"):
            await sdk.models.list()
        known = sdk.with_options(api_key="a-key-of-16-chars")
        assert [model.id for model in (await known.models.list()).data] == [
            "footnote",
            "scripted",
            "footnote-embedder",
            "scripted:hash",
        ]
        with pytest.raises(openai.NotFoundError, match="GET /v1/models") as missing:
            await known.models.retrieve("gpt-9")
        assert (missing.value.code, missing.value.type) == ("model_not_found", "invalid_request_error")
        with pytest.raises(openai.NotFoundError, match="no model 'gpt-9'"):
            await known.chat.completions.create(model="gpt-9", messages=[user("Hello?")])
        with pytest.raises(openai.NotFoundError, match="nothing with the id"):
            await known.chat.completions.retrieve("chatcmpl-nonsense")
        with pytest.raises(openai.UnprocessableEntityError, match="no user message") as invalid:
            await known.chat.completions.create(model="footnote", messages=[{"role": "system", "content": "Hi."}])
        assert invalid.value.code == "invalid_input"
        with pytest.raises(openai.UnprocessableEntityError) as typed:
            await known.chat.completions.create(model="footnote", messages="hello", n=2)  # type: ignore[call-overload]
        assert typed.value.param == "messages"
    large = await client.post("/v1/chat/completions", content=b"x" * 300_000)
    assert large.status_code == 413
    assert large.json()["error"]["code"] == "payload_too_large"


async def test_what_an_answer_cannot_be_is_refused(client: httpx.AsyncClient) -> None:
    chat_body = {"messages": [user(QUESTION)]}
    named = {"type": "function", "function": {"name": "tell"}}
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": []}}
    broken = {"type": "allowed_tools", "allowed_tools": "every"}
    refused = [
        ("chat/completions", chat_body | {"response_format": schema}, "response_format", "not JSON"),
        ("chat/completions", chat_body | {"response_format": {"type": "json_object"}}, "response_format", "not JSON"),
        ("chat/completions", chat_body | {"tool_choice": "required"}, "tool_choice", "no tools are called"),
        ("chat/completions", chat_body | {"tool_choice": named}, "tool_choice", "no tools are called"),
        ("chat/completions", chat_body | {"tool_choice": allowed}, "tool_choice", "no tools are called"),
        ("chat/completions", chat_body | {"tool_choice": broken}, "tool_choice", "no tools are called"),
        ("chat/completions", chat_body | {"function_call": {"name": "tell"}}, "function_call", "no tools are called"),
        ("responses", {"input": QUESTION, "text": {"format": {"type": "json_schema"}}}, "text.format", "not JSON"),
        (
            "responses",
            {"input": QUESTION, "tool_choice": {"type": "function", "name": "tell"}},
            "tool_choice",
            "no tools",
        ),
        ("responses", {"input": QUESTION, "metadata": {"a" * 65: "b"}}, None, "at most 64"),
        ("responses", {"input": QUESTION, "metadata": {"a": "b" * 513}}, "metadata.a", "at most 512"),
        ("embeddings", {"input": []}, "input", "send a text, a list of texts, a list of tokens"),
        ("embeddings", {"input": ["a", [1]]}, "input", "send a text, a list of texts, a list of tokens"),
        ("embeddings", {"input": ["\ud83d"]}, "input", "half a surrogate pair"),
    ]
    for path, body, param, says in refused:
        response = await client.post(
            f"/v1/{path}", content=json.dumps(body), headers={"Content-Type": "application/json"}
        )
        error = response.json()["error"]
        assert (response.status_code, error["param"] if param else None) == (422, param), error
        assert says in error["message"]
        assert "0x" not in error["message"], "no address of ours"
    taken = [
        (
            "chat/completions",
            chat_body | {"response_format": {"type": "text"}, "tool_choice": "auto", "tools": [named]},
        ),
        ("chat/completions", chat_body | {"tool_choice": allowed | {"allowed_tools": {"mode": "auto"}}}),
        (
            "responses",
            {"input": QUESTION, "text": {"format": {"type": "text"}, "verbosity": "low"}, "tool_choice": "none"},
        ),
        ("responses", {"input": QUESTION, "tool_choice": {"type": "file_search"}, "tools": [{"type": "file_search"}]}),
    ]
    for path, body in taken:
        assert (await client.post(f"/v1/{path}", json=body)).status_code == 200


async def test_closing_is_no_stop_and_a_stop_ends_the_stream(
    settings: Settings, serve: Callable[[Settings], Server]
) -> None:
    server = serve(settings.model_copy(update={"scripted_tokens_per_s": 50}))
    async with (
        openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any") as sdk,
        server.client() as client,
    ):
        left = await sdk.chat.completions.create(
            model="footnote", messages=[user(f"{QUESTION} [[tokens=40]]")], stream=True
        )
        first = await anext(aiter(left))
        await left.close()
        whole = await sdk.chat.completions.retrieve(first.id)
        assert whole.usage is not None
        assert whole.usage.completion_tokens == 40

        stream = await sdk.chat.completions.create(
            model="footnote", messages=[user(f"{QUESTION} [[tokens=5000]]")], stream=True
        )
        chunks = [await anext(aiter(stream))]
        await asyncio.sleep(0.2)
        await client.post(f"/v1/runs/{stream.response.headers['x-run-id']}/cancel")
        chunks += [chunk async for chunk in stream]
        assert chunks[-1].choices[0].finish_reason == "stop"
        assert chunks[-1].model_extra is not None
        assert chunks[-1].model_extra["footnote"]["finish_reason"] == "cancelled"


async def test_a_refusal_is_said_and_marked(settings: Settings, serve: Callable[[Settings], Server]) -> None:
    server = serve(settings.model_copy(update={"min_evidence": 1}))
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any") as sdk:
        done = await sdk.chat.completions.create(model="footnote", messages=[user("Who won the cup?")])
        assert done.choices[0].finish_reason == "stop"
        assert "found nothing that answers this" in (done.choices[0].message.content or "")
        assert done.model_extra is not None
        assert done.model_extra["footnote"]["finish_reason"] == "refused"
        response = await sdk.responses.create(model="footnote", input="Who won the cup?")
        assert response.status == "completed"
        assert response.output_text == done.choices[0].message.content


async def test_embeddings(sdk: openai.AsyncOpenAI) -> None:
    texts = ["The ferry leaves.", "Bread is baked."]
    packed = await sdk.embeddings.create(model="footnote-embedder", input=texts)
    plain = await sdk.embeddings.create(model="scripted:hash", input=texts, encoding_format="float", dimensions=64)
    assert np.allclose([item.embedding for item in packed.data], [item.embedding for item in plain.data])
    assert [item.index for item in plain.data] == [0, 1]
    assert np.allclose(np.linalg.norm([item.embedding for item in plain.data], axis=1), 1)
    assert plain.usage.prompt_tokens == 9
    tokens = await sdk.embeddings.create(model="footnote-embedder", input=[[791, 39254]])
    assert tokens.usage.prompt_tokens == 2
    with pytest.raises(openai.UnprocessableEntityError, match="makes 64, not 32"):
        await sdk.embeddings.create(model="footnote-embedder", input="x", dimensions=32)
    with pytest.raises(openai.UnprocessableEntityError, match="the limit is 8191; split it"):
        await sdk.embeddings.create(model="footnote-embedder", input="a b " * 5000)
    with pytest.raises(openai.UnprocessableEntityError, match="no such token"):
        await sdk.embeddings.create(model="footnote-embedder", input=[[100_000_000]])
    with pytest.raises(openai.NotFoundError, match="no embedder"):
        await sdk.embeddings.create(model="text-embedding-3-small", input="x")
