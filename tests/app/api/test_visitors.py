"""Visitors: keys for pages that anyone may open ask about one collection, and can do nothing else."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

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
