"""Reranking over HTTP: the order changes, a failure is flagged, and without a reranker nothing is said of it."""

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from app.settings import Settings
from tests.fixtures.rerank_server import RerankServer, rerank_server
from tests.fixtures.server import Server, chat

pytestmark = pytest.mark.usefixtures("corpus")

QUERY = "how long does the crossing to the island take"
LIMIT_S = 0.5
HANGS_S = 20.0
Serve = Callable[[Settings], Server]


def backwards(query: str, text: str) -> float:
    """Prefers what has nothing to do with the question."""
    del query
    return 0.9 if "rye" in text.lower() else 1 / (10 + len(text))


@pytest.fixture
def reranker() -> Iterator[RerankServer]:
    with rerank_server(backwards) as server:
        yield server


@pytest.fixture
def reranking_settings(settings: Settings, reranker: RerankServer) -> Settings:
    return settings.model_copy(
        update={"reranker": "jina:m", "reranker_base_url": reranker.url, "reranker_timeout_s": LIMIT_S}
    )


async def search(client: httpx.AsyncClient, k: int = 3) -> dict[str, Any]:
    response = await client.post("/v1/search", json={"query": QUERY, "k": k})
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def test_the_order_changes_and_is_cut_to_k_afterwards(
    server: Server, serve: Serve, reranking_settings: Settings, reranker: RerankServer
) -> None:
    async with server.client() as plain, serve(reranking_settings).client() as reranking:
        before, after = await search(plain, 2), await search(reranking, 2)
    assert before["passages"][0]["title"] == "The ferry to Holm Island"
    assert after["passages"][0]["title"] == "The bakery on Anker Street"
    assert after["reranked"] is True
    assert len(after["passages"]) == 2
    assert len(reranker.requests[0]["documents"]) > 2
    scores = [passage["score"] for passage in after["passages"]]
    assert scores[0] == 0.9
    assert scores == sorted(scores, reverse=True)


async def test_without_a_reranker_nothing_is_said_of_it(client: httpx.AsyncClient) -> None:
    assert (await search(client)).keys() == {"passages"}
    retrieved = next(event for event in await chat(client, QUERY) if event.type == "retrieval.completed")
    assert retrieved.data.keys() == {"passages"}


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ({"status": 500}, "failed (500)"),
        ({"status": 429}, "limits requests (429)"),
        ({"body": b"{"}, "sent something unexpected"),
        ({"missing": 1}, "or not one for each"),
        ({"hang": True}, "not done within 0.5 s"),
        ({"delay_s": HANGS_S}, "not done within 0.5 s"),
    ],
)
async def test_it_fails_open_flagged_and_counted(
    server: Server,
    serve: Serve,
    reranking_settings: Settings,
    reranker: RerankServer,
    script: dict[str, Any],
    says: str,
) -> None:
    for name, value in script.items():
        setattr(reranker.script, name, value)
    async with server.client() as plain, serve(reranking_settings).client() as reranking:
        before = await search(plain)
        started = time.monotonic()
        after = await search(reranking)
        took = time.monotonic() - started
        metrics = (await reranking.get("/metrics")).text
    assert after["passages"] == before["passages"]
    assert after["reranked"] is False
    assert says in after["rerank_problem"]
    assert took < HANGS_S / 2  # far above the limit: this machine may be busy
    assert f'footnote_rerankings_total{{end="{"timed_out" if "done" in says else "failed"}"}}' in metrics


async def test_an_answers_passages_say_whether_they_were_reranked(
    serve: Serve, reranking_settings: Settings, reranker: RerankServer
) -> None:
    async with serve(reranking_settings).client() as client:
        for status, expected in ((200, True), (503, False)):
            reranker.script.status = status
            events = await chat(client, QUERY)
            retrieved = next(event for event in events if event.type == "retrieval.completed")
            assert retrieved.data["reranked"] is expected
            assert events[-1].type == "run.completed"
            conversation = await client.get(f"/v1/conversations/{events[0].data['conversation_id']}")
            assert conversation.json()["messages"][-1]["reranked"] is expected


async def test_a_reranker_that_is_gone_costs_no_answer(serve: Serve, reranking_settings: Settings) -> None:
    gone = reranking_settings.model_copy(update={"reranker_base_url": "http://127.0.0.1:1"})
    async with serve(gone).client() as client:
        found = await search(client)
        assert found["passages"]
        assert "Cannot reach" in found["rerank_problem"]


async def test_keys_are_not_logged(
    serve: Serve,
    reranking_settings: Settings,
    reranker: RerankServer,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    key = "a-key-that-nobody-may-see-0123456789"
    monkeypatch.setitem(os.environ, "JINA_API_KEY", key)
    reranker.script.status, reranker.script.message = 400, f"your key {key} is not good"
    async with serve(reranking_settings.model_copy(update={"log_level": "debug"})).client() as client:
        found = await search(client)
    assert reranker.keys == [f"Bearer {key}"]
    assert found["reranked"] is False
    out, err = capfd.readouterr()
    assert "rerank.failed_open" in out + err
    assert key not in out + err + str(found)
