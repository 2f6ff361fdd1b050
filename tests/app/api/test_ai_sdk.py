"""The AI SDK's own transport: chats, resuming, stopping, failures, and chats that began in another dialect."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from app.settings import Settings
from tests.fixtures.server import Server, chat, text_of

pytestmark = pytest.mark.usefixtures("corpus")
QUESTION = "When does the ferry to Holm Island leave?"


def texts(message: dict[str, Any]) -> list[str]:
    return [part["text"] for part in message["parts"] if part["type"] == "text"]


async def test_a_chat_goes_on_and_is_stored_under_the_clients_id(
    node: Callable[..., Any], server: Server, client: httpx.AsyncClient
) -> None:
    done = node("ai-sdk.mjs", "answer", server.url)
    first, second, stored = done["first"], done["second"], done["stored"]["messages"]
    assert first["errors"] == second["errors"] == []
    assert done["nothingToResume"] is None
    assert [message["role"] for message in stored] == ["user", "assistant", "user", "assistant"]
    assert [texts(message) for message in stored[1::2]] == [texts(first["message"]), texts(second["message"])]
    assert "every hour from 07:00 to 22:00" in texts(first["message"])[0]
    sources = [part["title"] for part in first["message"]["parts"] if part["type"] == "source-document"]
    assert sources[0] == "The ferry to Holm Island"
    assert len(sources) == len(set(sources))
    notes = [part["data"] for part in first["message"]["parts"] if part["type"] == "data-citation"]
    assert {note["verdict"] for note in notes} == {"supported"}
    assert first["message"]["metadata"]["finishReason"] == "stop"
    assert first["message"]["metadata"]["usage"]["completion_tokens"] > 0
    listed = (await client.get("/v1/conversations")).json()["conversations"]
    assert [conversation["id"] for conversation in listed] == [first["message"]["metadata"]["conversationId"]]
    events = await chat(client, QUESTION)
    native = (await client.get(f"/v1/ai-sdk/chat/{events[0].data['conversation_id']}")).json()["messages"]
    assert texts(native[1]) == [text_of(events)]
    assert (await client.get("/v1/ai-sdk/chat/unknown")).text == "There is no chat 'unknown'."


async def test_what_a_rewind_took_back_is_not_shown(
    node: Callable[..., Any], server: Server, client: httpx.AsyncClient, other_passages_at_first: None
) -> None:
    question = f"{QUESTION} [[tokens=300]] [[break-once=250]]"
    done = node("ai-sdk.mjs", "ask", server.url, question)
    assert done["errors"] == []
    parts = done["message"]["parts"]
    stored = (await client.get("/v1/ai-sdk/chat/asked")).json()["messages"][1]["parts"]
    assert texts(done["message"])[-1:] == [part["text"] for part in stored if part["type"] == "text"]
    notes = [part["data"] for part in parts if part["type"] == "data-citation"]
    assert [note for note in notes if not note.get("withdrawn")] == [
        part["data"] for part in stored if part["type"] == "data-citation"
    ]
    sources = [part for part in parts if part["type"].startswith("source-")]
    assert sources == [part for part in stored if part["type"].startswith("source-")]


def test_a_chat_is_stored_as_it_is_shown_after_answering_again_and_editing(
    node: Callable[..., Any], server: Server
) -> None:
    done = node("ai-sdk.mjs", "rewrite", server.url)
    for seen in done.values():
        assert seen["error"] is None
        assert [texts(message) for message in seen["stored"]] == [texts(message) for message in seen["messages"]]
        assert [message["id"] for message in seen["stored"][1::2]] == [
            message["id"] for message in seen["messages"][1::2]
        ]
    assert [len(seen["stored"]) for seen in done.values()] == [4, 2, 4, 2]
    assert done["begun"]["messages"][1]["metadata"]["finishReason"] == "clarify", "nothing was said before"


def test_a_client_may_send_its_last_message_alone(node: Callable[..., Any], server: Server) -> None:
    done = node("ai-sdk.mjs", "lastAlone", server.url)
    assert [seen["error"] for seen in done.values()] == [None] * 4
    for name in ("asked", "last", "first"):
        seen = done[name]
        assert [texts(message) for message in seen["stored"]] == [texts(message) for message in seen["messages"]]
    assert [len(seen["stored"]) for seen in done.values()] == [4, 4, 2, 4]
    answers = [seen["stored"][-1] for seen in done.values()]
    assert len({answer["id"] for answer in answers}) == 4
    assert done["last"]["messages"][-1]["metadata"]["finishReason"] == "stop", "what was said before is known"
    assert texts(done["edited"]["stored"][2]) == ["How much is a ticket?"], (
        "a question of an unknown id: nothing is lost"
    )


def test_an_answer_that_was_left_is_stopped_when_its_question_is_edited(
    node: Callable[..., Any], settings: Settings, serve: Callable[[Settings], Server]
) -> None:
    server = serve(settings.model_copy(update={"scripted_tokens_per_s": 50}))
    done = node("ai-sdk.mjs", "leaveAndRewrite", server.url)
    assert done["error"] is None
    assert [texts(message) for message in done["stored"]] == [texts(message) for message in done["messages"]]
    assert len(texts(done["stored"][1])[0].split()) == 30


async def test_a_chat_whose_answers_are_not_known_here_loses_nothing(client: httpx.AsyncClient) -> None:
    asked = {"role": "user", "parts": [{"type": "text", "text": QUESTION}]}
    answered = {"id": "of-another-server", "role": "assistant", "parts": [{"type": "text", "text": "At noon."}]}
    first = {"id": "a-chat", "messages": [asked], "trigger": "submit-message"}
    again = {"id": "a-chat", "messages": [asked, answered, asked], "trigger": "regenerate-message"}
    for body in (first, first, again):
        assert (await client.post("/v1/ai-sdk/chat", json=body)).status_code == 200
    assert len((await client.get("/v1/ai-sdk/chat/a-chat")).json()["messages"]) == 6


async def test_a_question_that_is_refused_deletes_nothing(client: httpx.AsyncClient) -> None:
    asked = {"role": "user", "parts": [{"type": "text", "text": QUESTION}]}
    body = {"id": "a-chat", "messages": [asked]}
    assert (await client.post("/v1/ai-sdk/chat", json=body)).status_code == 200
    again = body | {"trigger": "regenerate-message", "collection": "nowhere"}
    assert (await client.post("/v1/ai-sdk/chat", json=again)).status_code == 404
    assert len((await client.get("/v1/ai-sdk/chat/a-chat")).json()["messages"]) == 2
    again.pop("collection")
    assert (await client.post("/v1/ai-sdk/chat", json=again)).status_code == 200
    assert len((await client.get("/v1/ai-sdk/chat/a-chat")).json()["messages"]) == 2


def test_a_failing_provider_and_a_wrong_question_are_shown_as_words(node: Callable[..., Any], server: Server) -> None:
    done = node("ai-sdk.mjs", "failures", server.url)
    for run in (done["before"], done["after"]):
        assert run["errors"] == ["The scripted model failed, as the question told it to."]
        assert run["chunks"][-1]["type"] == "error"
    assert texts(done["before"]["message"]) == []
    assert len(texts(done["after"]["message"])[0].split()) > 20
    assert done["refused"] == "messages: the question is empty; send some text"


def test_leaving_stops_nothing_and_stopping_stops(
    node: Callable[..., Any], settings: Settings, serve: Callable[[Settings], Server]
) -> None:
    server = serve(settings.model_copy(update={"scripted_tokens_per_s": 50}))
    resumed = node("ai-sdk.mjs", "resume", server.url)
    (text,) = texts(resumed["resumed"]["message"])
    assert len(text.split()) == 60
    assert [texts(message) for message in resumed["stored"]["messages"][1:]] == [[text]]
    stopped = node("ai-sdk.mjs", "stop", server.url)
    assert stopped["status"] == 204
    assert stopped["nothingToResume"] is None
    assert [chunk["type"] for chunk in stopped["stopped"]["chunks"][-2:]] == ["finish-step", "abort"]
    assert 0 < len(texts(stopped["stopped"]["message"])[0].split()) < 1000
