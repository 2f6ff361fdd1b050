"""Documents, collections, search and conversations over HTTP."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from prometheus_client import REGISTRY

from ingestion.pipeline import Report
from tests.fixtures.server import chat

pytestmark = pytest.mark.usefixtures("corpus")


@pytest.mark.parametrize("leg", ["hybrid", "dense", "lexical"])
async def test_search_finds_the_right_passage_by_every_leg(client: httpx.AsyncClient, leg: str) -> None:
    body = {"query": "how long does the rye loaf rest", "k": 3, "leg": leg}
    passages = (await client.post("/v1/search", json=body)).json()["passages"]
    assert 1 <= len(passages) <= 3
    assert passages[0]["title"] == "The bakery on Anker Street"
    assert "eighteen hours" in passages[0]["text"]
    assert passages[0]["heading_path"][0] == "The bakery on Anker Street"
    scores = [passage["score"] for passage in passages]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    "query", ["'", "a & | ! <-> b:*", "\\", "%(x)s", "🦊", "the", "\x00ferry", "'); DROP TABLE chunk; --"]
)
async def test_any_text_can_be_searched_for(client: httpx.AsyncClient, query: str) -> None:
    response = await client.post("/v1/search", json={"query": query})
    assert response.status_code == 200, response.text


async def test_metadata_filters_narrow_the_search(
    client: httpx.AsyncClient, ingest: Callable[..., Report], tmp_path: Path
) -> None:
    (tmp_path / "a.md").write_text("---\nseason: winter\n---\n# Sledges\n\nSledges run from the hill.\n")
    (tmp_path / "b.md").write_text("---\nseason: summer\n---\n# Boats\n\nBoats run from the hill.\n")
    await asyncio.to_thread(ingest, tmp_path)
    body = {"query": "what runs from the hill", "filter": {"season": "summer"}}
    passages = (await client.post("/v1/search", json=body)).json()["passages"]
    assert [passage["title"] for passage in passages] == ["Boats"]


async def test_a_collection_with_nul_in_its_name_is_refused(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/documents", params={"collection": "x\0y"})).status_code == 422
    response = await client.post("/v1/search", json={"query": "ferry", "collection": "x\0y"})
    assert response.status_code == 422


async def test_collections_and_documents_are_listed(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/collections")).json() == {"collections": [{"name": "default", "documents": 3}]}
    documents = (await client.get("/v1/documents", params={"collection": "default"})).json()["documents"]
    assert [document["title"] for document in documents] == [
        "The bakery on Anker Street",
        "The ferry to Holm Island",
        "The lighthouse at Skarv Point",
    ]
    assert all(document["chunks"] >= 1 for document in documents)
    assert {len(bytes.fromhex(document["content_hash"])) for document in documents} == {32}
    assert (await client.get("/v1/documents", params={"limit": 1, "offset": 2})).json()["documents"] == documents[2:]
    missing = await client.get("/v1/documents", params={"collection": "nope"})
    assert (missing.status_code, missing.json()["code"]) == (404, "collection_not_found")


async def test_a_deleted_collection_is_gone_and_its_conversations_stay(
    client: httpx.AsyncClient, ingest: Callable[..., Report], tmp_path: Path
) -> None:
    for name, text in (("a.md", "The goat is old."), ("copy.md", "The goat is old."), ("b.md", "The hill is steep.")):
        (tmp_path / name).write_text(f"# Farm\n\n{text}\n")
    await asyncio.to_thread(ingest, tmp_path, collection="on/the farm")
    await chat(client, "How old is the goat?", collection="on/the farm")
    [conversation] = (await client.get("/v1/conversations")).json()["conversations"]
    path = "/v1/collections/on/the%20farm"
    assert (await client.delete(path)).status_code == 204
    assert (await client.get("/v1/collections")).json() == {"collections": [{"name": "default", "documents": 3}]}
    for gone in (
        await client.delete(path),
        await client.post("/v1/search", json={"query": "goat", "collection": "on/the farm"}),
        await client.get("/v1/documents", params={"collection": "on/the farm"}),
    ):
        assert (gone.status_code, gone.json()["code"]) == (404, "collection_not_found")
    assert len((await client.get("/v1/documents")).json()["documents"]) == 3
    read = (await client.get(f"/v1/conversations/{conversation['id']}")).json()
    assert read["collection"] == "on/the farm"
    assert len(read["messages"]) == 2


async def test_an_old_version_still_opens_after_the_document_changed(
    client: httpx.AsyncClient, ingest: Callable[..., Report], tmp_path: Path
) -> None:
    file = tmp_path / "tide.md"
    file.write_text("# Tides\n\nHigh tide comes at six.\n")
    await asyncio.to_thread(ingest, file)
    search = {"query": "when is high tide", "k": 1}
    [old] = (await client.post("/v1/search", json=search)).json()["passages"]
    file.write_text("# Tides\n\nHigh tide comes at seven.\n")
    await asyncio.to_thread(ingest, file)
    [new] = (await client.post("/v1/search", json=search)).json()["passages"]
    assert "seven" in new["text"]
    assert old["document_id"] == new["document_id"]
    url = f"/v1/documents/{old['document_id']}"
    current = (await client.get(url)).json()
    former = (await client.get(url, params={"version": old["version_id"]})).json()
    assert (current["current"], former["current"]) == (True, False)
    assert former["text"][old["char_start"] : old["char_end"]] == old["text"]
    assert "seven" in current["text"]


async def test_conversations_are_listed_newest_first_paged_and_deleted(client: httpx.AsyncClient) -> None:
    ids = [(await chat(client, f"Question {n} about the ferry?"))[0].data["conversation_id"] for n in range(3)]
    listed = (await client.get("/v1/conversations", params={"limit": 2})).json()["conversations"]
    assert [conversation["id"] for conversation in listed] == ids[:0:-1]
    rest = (await client.get("/v1/conversations", params={"before": listed[-1]["id"]})).json()["conversations"]
    assert [conversation["id"] for conversation in rest] == ids[:1]
    assert (await client.delete(f"/v1/conversations/{ids[0]}")).status_code == 204
    assert (await client.get(f"/v1/conversations/{ids[0]}")).status_code == 404


async def test_operations(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    assert (await client.get("/readyz")).json() == {"status": "ready", "database": "ok", "run_log": "ok"}
    about = (await client.get("/v1/about")).json()
    assert about["chat_model"] == {"name": "scripted", "small": False}
    assert about["hint"] is None
    gaps = REGISTRY.get_sample_value("footnote_inter_token_seconds_count") or 0
    await chat(client, "When does the ferry leave?")
    metrics = (await client.get("/metrics")).text
    assert (REGISTRY.get_sample_value("footnote_inter_token_seconds_count") or 0) > gaps
    assert "footnote_rewinds_total" in metrics
    assert 'footnote_runs_total{end="run.completed"}' in metrics
    assert "footnote_time_to_first_token_seconds_count" in metrics


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz"])
async def test_monitors_may_ask_for_the_head_alone(client: httpx.AsyncClient, path: str) -> None:
    head, whole = await client.head(path), await client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == whole.headers["content-length"]


async def test_openapi_describes_every_endpoint_with_examples(client: httpx.AsyncClient) -> None:
    schema = (await client.get("/openapi.json")).json()
    assert {
        "/v1/chat",
        "/v1/runs/{run_id}/events",
        "/v1/runs/{run_id}/cancel",
        "/v1/conversations",
        "/v1/conversations/{conversation_id}",
        "/v1/search",
        "/v1/documents",
        "/v1/documents/{document_id}",
        "/v1/collections",
        "/v1/collections/{name}",
        "/healthz",
        "/readyz",
        "/metrics",
    } <= schema["paths"].keys()
    chat_schema = schema["paths"]["/v1/chat"]["post"]
    assert "text/event-stream" in chat_schema["responses"]["200"]["content"]
    assert schema["components"]["schemas"]["ChatRequest"]["properties"]["message"]["examples"]
    assert all(operation.get("summary") for path in schema["paths"].values() for operation in path.values())
