"""Outages: PostgreSQL or Valkey goes away while the server runs; it says so, loses nothing, and recovers by itself."""

import asyncio
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr

from app.settings import Settings
from tests.fixtures.proxy import Door
from tests.fixtures.server import Event, Server, chat, read_events, text_of

pytestmark = pytest.mark.usefixtures("corpus")
QUESTION = "When does the ferry to Holm Island leave?"


@pytest.fixture
def postgres(settings: Settings, door: Callable[[str], Door]) -> Door:
    assert settings.database_url is not None
    query = parse_qs(urlsplit(settings.database_url.get_secret_value()).query)
    return door(f"{query['host'][0]}/.s.PGSQL.{query.get('port', ['5432'])[0]}")


@pytest.fixture
def valkey(settings: Settings, door: Callable[[str], Door]) -> Door:
    assert settings.redis_url is not None
    return door(urlsplit(settings.redis_url.get_secret_value()).path)


@pytest.fixture
def exposed(settings: Settings, serve: Callable[[Settings], Server], postgres: Door, valkey: Door) -> Server:
    """A server that reaches both services through doors."""
    assert settings.database_url is not None
    name = urlsplit(settings.database_url.get_secret_value()).path
    changes = {
        "database_url": SecretStr(f"postgresql://footnote@127.0.0.1:{postgres.port}{name}"),
        "redis_url": SecretStr(f"redis://127.0.0.1:{valkey.port}/0"),
        "scripted_tokens_per_s": 50,
    }
    return serve(settings.model_copy(update=changes))


async def until_ready(client: httpx.AsyncClient, status: str) -> None:
    for _ in range(150):
        if (await client.get("/readyz")).json()["status"] == status:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"not {status} after 15 s")


async def test_without_postgresql_questions_are_refused_and_it_recovers(exposed: Server, postgres: Door) -> None:
    async with exposed.client() as client:
        postgres.shut()
        for request in (
            client.post("/v1/chat", json={"message": QUESTION}),
            client.post("/v1/search", json={"query": QUESTION}),
            client.get("/v1/conversations"),
        ):
            response = await request
            assert (response.status_code, response.json()["code"]) == (503, "database_unavailable")
            assert "PostgreSQL is not reachable" in response.json()["detail"]
            assert response.headers["retry-after"]
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/healthz")).status_code == 200
        postgres.open()
        await until_ready(client, "ready")
        assert (await chat(client, QUESTION))[-1].type == "run.completed"


async def test_an_answer_outlives_postgresql_and_is_stored_once_it_is_back(exposed: Server, postgres: Door) -> None:
    async with exposed.client() as client:
        seen: list[Event] = []
        async with client.stream("POST", "/v1/chat", json={"message": f"{QUESTION} [[tokens=60]]"}) as response:
            async for event in read_events(response):
                seen.append(event)
                if len(seen) == 10:
                    postgres.shut()
                if len([e for e in seen if e.type == "text.delta"]) == 60:
                    postgres.open()
        assert seen[-1].type == "run.completed"
        stored = (await client.get(f"/v1/conversations/{seen[0].data['conversation_id']}")).json()["messages"][-1]
        assert (stored["state"], stored["text"]) == ("completed", text_of(seen))


async def test_without_valkey_answers_still_stream_and_afterwards_can_be_resumed(exposed: Server, valkey: Door) -> None:
    async with exposed.client() as client:
        seen: list[Event] = []
        async with client.stream("POST", "/v1/chat", json={"message": f"{QUESTION} [[tokens=80]]"}) as response:
            async for event in read_events(response):
                seen.append(event)
                if len(seen) == 10:
                    valkey.shut()
        assert [event.id for event in seen] == list(range(1, len(seen) + 1))
        assert seen[-1].type == "run.completed"
        assert (await client.get("/readyz")).json() == {
            "status": "degraded",
            "database": "ok",
            "run_log": "unavailable",
        }
        whole = await chat(client, QUESTION)
        assert whole[-1].type == "run.completed", "new answers stream too"
        stored = (await client.get(f"/v1/conversations/{seen[0].data['conversation_id']}")).json()["messages"][-1]
        assert stored["text"] == text_of(seen)
        valkey.open()
        await until_ready(client, "ready")
        async with client.stream("GET", f"/v1/runs/{whole[0].data['run_id']}/events") as response:
            again = [event async for event in read_events(response)]
        assert text_of(again) == text_of(whole), "made anew from the stored message when the log has no more of it"
        assert again[-1].type == "run.completed"


async def test_valkey_that_comes_back_in_the_middle_gets_the_whole_log(exposed: Server, valkey: Door) -> None:
    async with exposed.client() as client:
        seen: list[Event] = []
        async with client.stream("POST", "/v1/chat", json={"message": f"{QUESTION} [[tokens=120]]"}) as response:
            async for event in read_events(response):
                seen.append(event)
                if len(seen) == 10:
                    valkey.shut()
                if len(seen) == 40:
                    valkey.open()
        async with client.stream("GET", f"/v1/runs/{seen[0].data['run_id']}/events") as response:
            again = [event async for event in read_events(response)]
        assert again == seen
