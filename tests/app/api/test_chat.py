"""Chat over HTTP: an answer streams, is stored, resumes, stops, and goes on without its reader."""

import asyncio
from collections.abc import Callable

import httpx
import pytest

from app.settings import Settings
from ingestion.pipeline import Report
from tests.fixtures.server import Event, Server, chat, read_events, text_of

pytestmark = pytest.mark.usefixtures("corpus")
QUESTION = "When does the ferry to Holm Island leave?"


def only(events: list[Event], kind: str) -> list[Event]:
    return [event for event in events if event.type == kind]


async def test_an_answer_streams_with_consecutive_ids_and_ends(client: httpx.AsyncClient) -> None:
    events = await chat(client, QUESTION)
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert [events[0].type, events[1].type] == ["run.started", "retrieval.completed"]
    assert events[-1].type == "run.completed"
    assert events[-1].data == {"finish_reason": "stop"}
    assert len(only(events, "text.delta")) > 5, "the text comes in pieces"
    assert "every hour from 07:00 to 22:00" in text_of(events)


async def test_the_headers_keep_proxies_from_buffering(client: httpx.AsyncClient) -> None:
    async with client.stream("POST", "/v1/chat", json={"message": QUESTION}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache, no-transform"
        assert response.headers["x-accel-buffering"] == "no"
        assert "content-encoding" not in response.headers


async def test_passages_and_citations_point_at_the_right_words(client: httpx.AsyncClient) -> None:
    events = await chat(client, QUESTION)
    answer = text_of(events)
    passages = {p["id"]: p for p in only(events, "retrieval.completed")[0].data["passages"]}
    cited = [event.data for event in only(events, "citation")]
    assert cited
    for citation in cited:
        sentence = answer[citation["sentence_start"] : citation["sentence_end"]]
        assert sentence == sentence.strip() != ""
        assert citation["verdict"] == "supported"
        passage = passages[citation["passage_id"]]
        text = (await client.get(f"/v1/documents/{citation['document_id']}")).json()["text"]
        assert text[citation["char_start"] : citation["char_end"]] == citation["quote"]
        assert text[passage["char_start"] : passage["char_end"]] == passage["text"]


async def test_the_stored_message_equals_what_was_streamed(client: httpx.AsyncClient) -> None:
    events = await chat(client, QUESTION)
    conversation = (await client.get(f"/v1/conversations/{events[0].data['conversation_id']}")).json()
    question, answer = conversation["messages"]
    assert (question["role"], question["text"]) == ("user", QUESTION)
    assert answer["text"] == text_of(events)
    assert answer["id"] == events[0].data["message_id"]
    assert answer["run_id"] == events[0].data["run_id"]
    assert answer["state"] == "completed"
    assert answer["citations"] == [event.data for event in only(events, "citation")]
    assert answer["passages"] == only(events, "retrieval.completed")[0].data["passages"]
    assert answer["usage"] == only(events, "usage")[0].data
    assert answer["prompt"].startswith("answer/v1@")
    assert {"retrieved", "first_token", "attributed"} <= answer["timings_ms"].keys()


@pytest.mark.parametrize("after", [0, 1, 4])
async def test_a_finished_answer_can_be_resumed_from_any_event(client: httpx.AsyncClient, after: int) -> None:
    events = await chat(client, QUESTION)
    url = f"/v1/runs/{events[0].data['run_id']}/events"
    async with client.stream("GET", url, headers={"Last-Event-ID": str(after)}) as response:
        assert [event async for event in read_events(response)] == events[after:]
    done = await client.get(url, headers={"Last-Event-ID": str(events[-1].id)})
    assert done.status_code == 204


async def test_a_lost_connection_changes_nothing_and_resumes_exactly(
    settings: Settings, serve: Callable[[Settings], Server]
) -> None:
    server = serve(settings.model_copy(update={"scripted_tokens_per_s": 100}))
    seen: list[Event] = []
    async with server.client() as first, first.stream("POST", "/v1/chat", json={"message": QUESTION}) as response:
        async for event in read_events(response):
            seen.append(event)
            if len(seen) == 6:
                break
    async with server.client() as second:
        headers = {"Last-Event-ID": str(seen[-1].id)}
        url = f"/v1/runs/{seen[0].data['run_id']}/events"
        async with second.stream("GET", url, headers=headers) as response:
            rest = [event async for event in read_events(response)]
        stored = (await second.get(f"/v1/conversations/{seen[0].data['conversation_id']}")).json()["messages"][-1]
    assert [event.id for event in seen + rest] == list(range(1, len(seen + rest) + 1))
    assert rest[-1].type == "run.completed"
    assert text_of(seen + rest) == stored["text"]


async def test_stop_closes_the_model_and_keeps_the_partial_answer(
    settings: Settings, serve: Callable[[Settings], Server]
) -> None:
    server = serve(settings.model_copy(update={"scripted_tokens_per_s": 50}))
    async with server.client() as client:
        seen: list[Event] = []
        stopped: httpx.Response | None = None
        async with client.stream("POST", "/v1/chat", json={"message": f"{QUESTION} [[tokens=500]]"}) as response:
            async for event in read_events(response):
                seen.append(event)
                if len(seen) == 8:
                    stopped = await client.post(f"/v1/runs/{seen[0].data['run_id']}/cancel")
                    generated = server.services.model.tokens_generated  # type: ignore[attr-defined]
        assert stopped is not None
        assert stopped.json()["state"] == "cancelled"
        assert stopped.json()["text_chars"] == len(text_of(seen))
        assert seen[-1].type == "run.cancelled"
        await asyncio.sleep(0.2)
        model = server.services.model
        assert (model.tokens_generated, model.open_streams, model.closed_early) == (generated, 0, 1)  # type: ignore[attr-defined]
        stored = (await client.get(f"/v1/conversations/{seen[0].data['conversation_id']}")).json()["messages"][-1]
        assert (stored["state"], stored["text"]) == ("cancelled", text_of(seen))
        again = await client.post(f"/v1/runs/{seen[0].data['run_id']}/cancel")
        assert again.json() == stopped.json(), "stopping twice is stopping once"


async def test_a_conversation_goes_on_and_the_follow_up_is_understood(client: httpx.AsyncClient) -> None:
    first = await chat(client, QUESTION)
    second = await chat(client, "And what do cars pay?", conversation_id=first[0].data["conversation_id"])
    assert second[0].data["conversation_id"] == first[0].data["conversation_id"]
    conversation = (await client.get(f"/v1/conversations/{first[0].data['conversation_id']}")).json()
    assert [message["role"] for message in conversation["messages"]] == ["user", "assistant"] * 2
    assert conversation["title"] == QUESTION


async def test_one_answer_at_a_time_in_a_conversation(settings: Settings, serve: Callable[[Settings], Server]) -> None:
    server = serve(settings.model_copy(update={"scripted_tokens_per_s": 50}))
    async with (
        server.client() as client,
        client.stream("POST", "/v1/chat", json={"message": f"{QUESTION} [[tokens=200]]"}) as response,
    ):
        first = await anext(read_events(response))
        body = {"message": "And now?", "conversation_id": first.data["conversation_id"]}
        busy = await client.post("/v1/chat", json=body)
        assert (busy.status_code, busy.json()["code"]) == (409, "conversation_busy")
        await client.post(f"/v1/runs/{first.data['run_id']}/cancel")


async def test_collections_keep_answers_apart(
    client: httpx.AsyncClient, ingest: Callable[..., Report], tmp_path
) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "moon.md"
    file.write_text("# The moon ferry\n\nThe ferry to the moon leaves on Tuesdays.\n")
    await asyncio.to_thread(ingest, file, collection="space")
    events = await chat(client, QUESTION, collection="space")
    titles = {p["title"] for p in only(events, "retrieval.completed")[0].data["passages"]}
    assert titles == {"The moon ferry"}
    assert "Tuesdays" in text_of(events)


async def test_fifty_chats_at_once_lose_and_repeat_nothing(
    settings: Settings, serve: Callable[[Settings], Server]
) -> None:
    server = serve(settings.model_copy(update={"scripted_tokens_per_s": 200}))
    lag: list[float] = []

    async def tick() -> None:
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(0.01)
            lag.append(loop.time() - before - 0.01)

    ticking = asyncio.run_coroutine_threadsafe(tick(), server.loop)
    async with server.client(limits=httpx.Limits(max_connections=60)) as client:
        answers = await asyncio.gather(*(chat(client, f"{QUESTION} [[tokens=100]]") for _ in range(50)))
        for events in answers:
            assert [event.id for event in events] == list(range(1, len(events) + 1))
            assert len(only(events, "text.delta")) == 100
            assert events[-1].type == "run.completed"
    ticking.cancel()
    assert len(lag) > 20
