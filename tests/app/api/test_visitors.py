"""Visitors: keys for pages that anyone may open ask about one collection, and can do nothing else."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr

from app.domain.errors import ProviderRejected
from app.main import create_app
from app.settings import Settings
from ingestion.pipeline import Report
from tests.fixtures.server import Server, chat

OWNER, VISITOR, OTHER = "key-of-the-owner-1", "key-of-visitors-1", "key-of-visitors-2"
ANY_ID = "01a21ab9-8cb3-774f-b015-84bef1755470"
THEIRS = {
    "GET /v1/about",
    "POST /v1/chat",
    "GET /v1/conversations/{conversation_id}",
    "DELETE /v1/conversations/{conversation_id}",
    "GET /v1/documents/{document_id}",
    "PUT /v1/messages/{message_id}/feedback",
    "DELETE /v1/messages/{message_id}/feedback",
    "POST /v1/runs/{run_id}/cancel",
    "GET /v1/runs/{run_id}/events",
}
OPEN = {"GET /healthz", "GET /readyz", "GET /metrics"}

pytestmark = pytest.mark.usefixtures("corpus")


def bearing(server: Server, key: str) -> httpx.AsyncClient:
    return server.client(headers={"Authorization": f"Bearer {key}"})


@pytest.fixture
def keyed(settings: Settings) -> Settings:
    visitors = (("garden", SecretStr(VISITOR)), ("default", SecretStr(OTHER)))
    return settings.model_copy(update={"api_keys": (SecretStr(OWNER),), "visitor_keys": visitors})


@pytest.fixture
async def server(
    keyed: Settings, serve: Callable[[Settings], Server], ingest: Callable[..., Report], tmp_path: Path
) -> Server:
    (tmp_path / "shed.md").write_text("# The shed\n\nThe shed holds nine rakes.\n")
    await asyncio.to_thread(ingest, tmp_path, collection="garden")
    return serve(keyed)


@pytest.fixture
async def visitor(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with bearing(server, VISITOR) as client:
        yield client


def operations(settings: Settings) -> list[str]:
    paths: dict[str, dict[str, Any]] = create_app(settings).openapi()["paths"]
    return [f"{method.upper()} {path}" for path, methods in paths.items() for method in methods]


async def test_all_but_what_a_page_needs_is_refused(visitor: httpx.AsyncClient, keyed: Settings) -> None:
    there = operations(keyed)
    assert set(there) > THEIRS | OPEN
    for operation in there:
        method, path = operation.split(" ")
        path = "/".join(ANY_ID if part.startswith("{") else part for part in path.split("/"))
        response = await visitor.request(method, path, json={"message": "Why?"} if path == "/v1/chat" else None)
        assert response.status_code != 401, operation
        assert (response.status_code == 403) is (operation not in THEIRS | OPEN), operation
    mcp = await visitor.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    assert (mcp.status_code, mcp.json()["code"]) == (403, "forbidden")
    assert "FOOTNOTE_API_KEYS" in (await visitor.get("/v1/collections")).json()["detail"]


async def test_they_ask_about_their_collection_alone(visitor: httpx.AsyncClient) -> None:
    for asked in ({}, {"collection": "garden"}):
        events = await chat(visitor, "How many rakes does the shed hold, and how long does the rye loaf rest?", **asked)
        passages = next(event for event in events if event.type == "retrieval.completed").data["passages"]
        assert {passage["title"] for passage in passages} == {"The shed"}
    for name in ("default", "there is none"):
        refused = await visitor.post(
            "/v1/chat", json={"message": "How long does the rye loaf rest?", "collection": name}
        )
        assert (refused.status_code, refused.json()["code"]) == (404, "collection_not_found")


async def test_they_open_documents_of_their_collection_alone(server: Server, visitor: httpx.AsyncClient) -> None:
    async with bearing(server, OWNER) as owner:
        documents = (await owner.get("/v1/documents")).json()["documents"]
    for document in documents:
        response = await visitor.get(f"/v1/documents/{document['id']}")
        assert response.status_code == (200 if document["collection"] == "garden" else 404), document


async def test_they_go_on_with_their_conversations_and_not_with_those_of_others(
    server: Server, visitor: httpx.AsyncClient
) -> None:
    mine = (await chat(visitor, "How many rakes are there?"))[0].data["conversation_id"]
    again = (await chat(visitor, "And where?", conversation_id=mine))[0].data["conversation_id"]
    assert again == mine
    messages = (await visitor.get(f"/v1/conversations/{mine}")).json()["messages"]
    assert [message["text"] for message in messages[::2]] == ["How many rakes are there?", "And where?"]
    async with bearing(server, OWNER) as owner, bearing(server, OTHER) as other:
        theirs = [
            (await chat(owner, "How long does the rye loaf rest?"))[0].data["conversation_id"],
            (await chat(other, "How long does the rye loaf rest?"))[0].data["conversation_id"],
        ]
        for conversation_id in theirs:
            path = f"/v1/conversations/{conversation_id}"
            assert (await visitor.get(path)).status_code == 404
            assert (await visitor.delete(path)).status_code == 404
            body = {"message": "What was said?", "conversation_id": conversation_id}
            assert (await visitor.post("/v1/chat", json=body)).status_code == 404
            assert len((await owner.get(path)).json()["messages"]) == 2
    assert (await visitor.delete(f"/v1/conversations/{mine}")).status_code == 204


async def test_runs_and_answers_of_other_collections_are_not_there_for_them(
    server: Server, visitor: httpx.AsyncClient
) -> None:
    async with bearing(server, OWNER) as owner:
        for asked in ({}, {"collection": "default"}):
            started = (await chat(owner, "How long does the rye loaf rest?", **asked))[0].data
            run = f"/v1/runs/{started['run_id']}"
            rating = f"/v1/messages/{started['message_id']}/feedback"
            assert (await visitor.get(f"{run}/events")).json()["code"] == "run_not_found"
            assert (await visitor.post(f"{run}/cancel")).json()["code"] == "run_not_found"
            assert (await visitor.put(rating, json={"rating": "down"})).json()["code"] == "message_not_found"
    mine = (await chat(visitor, "How many rakes does the shed hold?"))[0].data
    assert (await visitor.get(f"/v1/runs/{mine['run_id']}/events")).status_code == 200
    assert (await visitor.post(f"/v1/runs/{mine['run_id']}/cancel")).status_code == 200
    put = await visitor.put(f"/v1/messages/{mine['message_id']}/feedback", json={"rating": "up"})
    assert put.status_code == 200


async def test_they_see_the_names_of_files_and_not_the_folders_of_the_server(
    server: Server, visitor: httpx.AsyncClient, tmp_path: Path
) -> None:
    events = await chat(visitor, "How many rakes does the shed hold?")
    started, passages = events[0].data, events[1].data["passages"]
    assert [passage["uri"] for passage in passages] == ["shed.md"]
    seen = [await visitor.get(f"/v1/runs/{started['run_id']}/events")]
    log = server.services.run_log
    expiry = log._redis.delete(log._key(UUID(started["run_id"])))
    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(expiry, server.loop))  # type: ignore[arg-type]
    seen += [
        await visitor.get(path)
        for path in (
            f"/v1/runs/{started['run_id']}/events",
            f"/v1/conversations/{started['conversation_id']}",
            f"/v1/documents/{passages[0]['document_id']}",
            f"/v1/documents/{passages[0]['document_id']}?version={passages[0]['version_id']}",
        )
    ]
    for response in seen:
        assert response.status_code == 200
        assert '"uri":"shed.md"' in response.text
        assert str(tmp_path) not in response.text
    async with bearing(server, OWNER) as owner:
        whole = await owner.get(f"/v1/runs/{started['run_id']}/events")
        assert (tmp_path / "shed.md").as_uri() in whole.text


async def test_filters_tell_them_nothing_of_folders_and_of_other_collections(
    server: Server, visitor: httpx.AsyncClient, ingest: Callable[..., Report], tmp_path: Path
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "secret.md").write_text("---\nproject_lead: Ada\n---\n# Plans\n\nThe plan is ready.\n")
    await asyncio.to_thread(ingest, folder, collection="plans")
    asked: dict[str, Any] = {"message": "How many rakes?", "filter": {"$not": {"source_uri": {"$gte": "file:///t"}}}}
    refused = await visitor.post("/v1/chat", json=asked)
    assert (refused.status_code, refused.json()["pointer"]) == (422, "/filter/$not/source_uri")
    for field in ("project_lead", "project_leads"):
        events = await chat(visitor, "How many rakes does the shed hold?", filter={field: {"$gte": 3}})
        assert events[1].data["passages"] == []
        assert events[-1].type == "run.completed"
    events = await chat(visitor, "How many rakes does the shed hold?", filter={"title": "The shed"})
    assert len(events[1].data["passages"]) == 1


async def test_a_model_that_fails_does_not_tell_them_where_it_is(
    server: Server, visitor: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = "http://10.0.0.5:11434/v1 knows no model `own` (404); check FOOTNOTE_CHAT_MODEL and its base URL."

    async def refuse(*_: object, **__: object) -> list[object]:
        raise ProviderRejected(reason)

    monkeypatch.setattr(server.services.retrieval, "ranked", refuse)
    events = await chat(visitor, "How many rakes does the shed hold?")
    problem = events[-1].data["problem"]
    assert (problem["code"], "10.0.0.5" in problem["detail"]) == ("provider_rejected", False)
    path = f"/v1/conversations/{events[0].data['conversation_id']}"
    assert "10.0.0.5" not in (await visitor.get(path)).text
    async with bearing(server, OWNER) as owner:
        assert (await owner.get(path)).json()["messages"][-1]["problem"]["detail"] == reason


async def test_the_file_of_a_model_is_named_without_its_folder(
    server: Server, visitor: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(server.services.settings), "chat_model", "gguf:/srv/models/own.gguf")
    refused = await visitor.post("/v1/chat", json={"message": "Why?", "model": "another"})
    assert (refused.status_code, "/srv" in refused.text) == (422, False)


async def test_a_conversation_that_goes_on_about_other_collections_is_not_theirs_any_more(
    server: Server, visitor: httpx.AsyncClient
) -> None:
    started = (await chat(visitor, "How many rakes does the shed hold?"))[0].data
    conversation_id, path = started["conversation_id"], f"/v1/conversations/{started['conversation_id']}"
    async with bearing(server, OWNER) as owner:
        await chat(owner, "What does the shed hold?", conversation_id=conversation_id, collection="garden")
        assert len((await visitor.get(path)).json()["messages"]) == 4
        beyond = await chat(owner, "How long does the rye loaf rest?", conversation_id=conversation_id)
        assert beyond[1].data["passages"]
        assert (await owner.get(path)).json()["collection"] is None
    assert (await visitor.get(path)).status_code == 404
    assert (await visitor.get(f"/v1/runs/{beyond[0].data['run_id']}/events")).status_code == 404
    again = await visitor.post("/v1/chat", json={"message": "And?", "conversation_id": conversation_id})
    assert again.json()["code"] == "conversation_not_found"
