"""Faults over HTTP: each has a status, a code and a message that says what to do; nothing is lost."""

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from app.settings import Settings
from tests.fixtures.server import Server, chat, text_of

KEY = "a-key-that-is-long-enough"
JSON = {"content-type": "application/json"}


def assert_problem(response: httpx.Response, status: int, code: str, says: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert (body["status"], body["code"]) == (status, code)
    assert says in body["detail"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"message": ""}, "message"),
        ({"message": " \n\t"}, "the question is empty"),
        ({}, "message: Field required"),
        ({"message": "x" * 8001}, "the limit is 8000"),
        ({"message": "hi", "conversation_id": "not-an-id"}, "conversation_id"),
        ({"message": "hi", "collection": ""}, "collection: the text should have at least 1 characters"),
        ({"message": "hi", "collection": "x" * 101}, "collection: the text should have at most 100 characters"),
        ({"message": "hi", "surprise": 1}, "surprise"),
        ({"message": "hi", "model": "gpt-99"}, "this server runs 'scripted'"),
        ({"message": 7}, "message"),
        ({"message": "half \ud83d"}, "half a surrogate pair at character 5"),
        ({"message": "hi", "collection": "a\x00b"}, "cannot hold a NUL"),
    ],
)
async def test_invalid_questions(client: httpx.AsyncClient, body: dict[str, object], says: str) -> None:
    assert_problem(await client.post("/v1/chat", content=json.dumps(body), headers=JSON), 422, "invalid_input", says)


async def test_a_body_that_is_not_json(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/chat", content=b'{"message": oops}', headers=JSON)
    assert_problem(response, 422, "invalid_input", "this is no JSON: Expecting value at character 12")
    assert response.json()["errors"][0]["field"] == ""
    openai = await client.post("/v1/chat/completions", content=b'{"messages": oops}', headers=JSON)
    assert openai.json()["error"]["param"] is None


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ('{"message": "Fähre"}'.encode("latin-1"), "it is not in UTF-8"),
        (b"[" * 100_000, "too many objects and lists in one another"),
        (b'{"message": "hi", "k": ' + b"9" * 5000 + b"}", "a number has too many digits"),
    ],
)
async def test_a_body_that_cannot_be_read_is_told_why(client: httpx.AsyncClient, body: bytes, says: str) -> None:
    assert_problem(await client.post("/v1/chat", content=body, headers=JSON), 400, "bad_request", says)


@pytest.mark.parametrize(
    "sent",
    [
        {"content": b'{"message": "hi"}'},  # as `curl -d` sends it
        {"content": b'{"message": "hi"}', "headers": {"content-type": "application/x-www-form-urlencoded"}},
        {"data": {"message": "hi"}},
        {"json": ["hi"]},
    ],
)
async def test_a_body_that_is_not_sent_as_a_json_object(client: httpx.AsyncClient, sent: dict[str, Any]) -> None:
    response = await client.post("/v1/chat", **sent)
    says = "body: send a JSON object, with the header Content-Type: application/json"
    assert_problem(response, 422, "invalid_input", says)


async def test_a_question_of_a_megabyte_is_refused_unread(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/chat", json={"message": "x" * 1_000_000})
    assert_problem(response, 413, "payload_too_large", "FOOTNOTE_MAX_BODY_BYTES")

    async def pieces():  # type: ignore[no-untyped-def]
        for _ in range(100):
            yield b"x" * 10_000

    response = await client.post("/v1/chat", content=pieces(), headers=JSON)
    assert_problem(response, 413, "payload_too_large", "FOOTNOTE_MAX_BODY_BYTES")


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/v1/runs/{id}/events", "run_not_found"),
        ("POST", "/v1/runs/{id}/cancel", "run_not_found"),
        ("GET", "/v1/conversations/{id}", "conversation_not_found"),
        ("DELETE", "/v1/conversations/{id}", "conversation_not_found"),
        ("GET", "/v1/documents/{id}", "document_not_found"),
    ],
)
async def test_what_is_not_there(client: httpx.AsyncClient, method: str, path: str, code: str) -> None:
    response = await client.request(method, path.format(id=uuid4()))
    assert_problem(response, 404, code, "There is no")


async def test_unknown_collections_and_conversations_start_nothing(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/chat", json={"message": "hi", "collection": "nope"})
    assert_problem(response, 404, "collection_not_found", "footnote ingest PATH --collection nope")
    response = await client.post("/v1/chat", json={"message": "hi", "conversation_id": str(uuid4())})
    assert_problem(response, 404, "conversation_not_found", "leave `conversation_id` out")
    response = await client.post("/v1/search", json={"query": "hi", "collection": "nope"})
    assert_problem(response, 404, "collection_not_found", "nope")
    assert (await client.get("/v1/conversations")).json() == {"conversations": []}


async def test_unknown_paths_and_methods_are_problems_too(client: httpx.AsyncClient) -> None:
    assert_problem(await client.get("/v1/nothing"), 404, "not_found", "Not Found")
    response = await client.put("/v1/chat")
    assert_problem(response, 405, "method_not_allowed", "Method Not Allowed")
    assert response.headers["allow"] == "POST"
    allowed = {"/v1/documents": "GET, POST", f"/v1/conversations/{uuid4()}": "GET, DELETE", "/healthz": "GET, HEAD"}
    assert {path: (await client.put(path)).headers["allow"] for path in allowed} == allowed


async def test_an_empty_index_is_a_refusal_that_says_what_to_do(client: httpx.AsyncClient) -> None:
    events = await chat(client, "When does the ferry leave?")
    assert events[-1].data == {"finish_reason": "refused"}
    assert "footnote ingest PATH" in text_of(events)


async def test_a_question_far_from_everything_is_refused(
    settings: Settings, serve: Callable[[Settings], Server], corpus: object
) -> None:
    server = serve(settings.model_copy(update={"min_evidence": 1}))
    async with server.client() as client:
        events = await chat(client, "Wherefore zygotic quaternions?")
        assert events[-1].data == {"finish_reason": "refused"}
        assert "The nearest documents are" in text_of(events)
        assert "None of them mentions “Wherefore”, “zygotic”, “quaternions”." in text_of(events)
        assert server.services.model.tokens_generated == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("unsupported", ["mark", "withhold"])
async def test_a_model_that_finds_no_answer_in_the_passages_refuses(
    settings: Settings, serve: Callable[[Settings], Server], corpus: object, unsupported: str
) -> None:
    said = "The passages do not say who built the ferry."
    server = serve(settings.model_copy(update={"unsupported": unsupported}))
    async with server.client() as client:
        events = await chat(client, f"Who built the ferry? [[say={said}]]")
        assert events[-1].data == {"finish_reason": "refused"}
        assert text_of(events) == said if unsupported == "mark" else "found nothing that answers" in text_of(events)
        assert not [event for event in events if event.type == "citation"]


@pytest.mark.parametrize(("directive", "kept"), [("[[fail-first]]", 0), ("[[fail-after=4]]", 4)])
@pytest.mark.usefixtures("corpus")
async def test_a_failing_provider_is_a_typed_event(client: httpx.AsyncClient, directive: str, kept: int) -> None:
    events = await chat(client, f"When does the ferry leave? {directive}")
    assert events[-1].type == "run.failed"
    problem = events[-1].data["problem"]
    assert problem["code"] == "provider_unavailable"
    assert len([event for event in events if event.type == "text.delta"]) == kept
    stored = (await client.get(f"/v1/conversations/{events[0].data['conversation_id']}")).json()["messages"][-1]
    assert (stored["state"], stored["text"], stored["problem"]) == ("failed", text_of(events), problem)
    again = await chat(client, "And the dogs?", conversation_id=events[0].data["conversation_id"])
    assert again[-1].type == "run.completed", "the conversation goes on"


async def test_a_server_with_keys_lets_nobody_else_in(settings: Settings, serve: Callable[[Settings], Server]) -> None:
    server = serve(settings.model_copy(update={"api_keys": (SecretStr(KEY), SecretStr(KEY + "-2"))}))
    async with server.client() as client:
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": KEY},
            {"Authorization": f"Basic {KEY}"},
        ):
            response = await client.get("/v1/conversations", headers=headers)
            assert_problem(response, 401, "unauthenticated", "Authorization: Bearer KEY")
            assert response.headers["www-authenticate"] == "Bearer"
        for key in (KEY, KEY + "-2"):
            response = await client.get("/v1/conversations", headers={"Authorization": f"Bearer {key}"})
            assert response.status_code == 200
        for path in ("/", "/healthz", "/readyz", "/widget/footnote.js"):
            assert (await client.get(path)).status_code == 200, "the page and the probes need no key"
        assert KEY not in repr(server.services.settings)


async def test_without_keys_foreign_names_are_refused(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/conversations", headers={"Host": "evil.example"})
    assert_problem(response, 421, "misdirected_request", "FOOTNOTE_API_KEYS")


async def test_a_host_that_is_none_is_a_bad_request(settings: Settings, serve: Callable[[Settings], Server]) -> None:
    async with serve(settings).client() as client:
        response = await client.get("/v1/conversations", headers={"Host": "[::1"})
        assert_problem(response, 400, "bad_request", "not a host name")
    locked = serve(settings.model_copy(update={"api_keys": (SecretStr(KEY),)}))
    async with locked.client() as client:
        response = await client.get("/v1/conversations", headers={"Host": "[::1"})
        assert_problem(response, 401, "unauthenticated", "Authorization: Bearer KEY")


async def test_numbers_that_no_list_reaches_are_refused(client: httpx.AsyncClient) -> None:
    reached = await client.get(f"/v1/documents?offset={2**63 - 1}")
    assert reached.json() == {"documents": []}
    assert_problem(await client.get(f"/v1/documents?offset={2**63}"), 422, "invalid_input", "offset")
    run_id = (await chat(client, "Hello?"))[0].data["run_id"]
    for place, status in ((2**63 - 1, 204), (2**63, 422)):
        response = await client.get(f"/v1/runs/{run_id}/events", headers={"Last-Event-ID": str(place)})
        assert response.status_code == status
        response = await client.get(f"/v1/responses/resp_{run_id}?stream=true&starting_after={place}")
        assert response.status_code == (422 if status == 422 else 200)
        assert ("response.completed" in response.text) is (status == 204)


async def test_names_without_nul(client: httpx.AsyncClient) -> None:
    assert_problem(await client.get("/v1/documents?collection=a%00b"), 422, "invalid_input", "cannot hold a NUL")
