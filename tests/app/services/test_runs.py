"""Runs whose worker died, whose log expired, or that take too long: each comes to an end and keeps its text."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.domain.principal import DEFAULT_WORKSPACE_ID
from app.domain.run import Run, RunCancelled, RunCompleted, RunEvent, RunStarted, TextDelta, TextRewind
from app.settings import Settings
from app.storage.run_log import RunLog
from app.storage.runs import RunStore
from tests.fixtures.server import Server, chat, read_events, text_of


async def on(server: Server, work: Coroutine[Any, Any, Any]) -> Any:
    """Run work on the server's event loop."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, server.loop))


async def orphan(server: Server, settings: Settings, *events: RunEvent) -> Run:
    """A run whose worker died after these events."""
    store = RunStore(server.services.database, worker="dead", lease_s=-1)
    run: Run = await on(server, store.create(DEFAULT_WORKSPACE_ID, "Why?", None, None))
    assert settings.redis_url is not None
    log = RunLog(settings.redis_url.get_secret_value())
    writer = log.writer(run.id, run.attempt)
    for event in (RunStarted(str(run.id), str(run.conversation_id), str(run.message_id), run.created_at), *events):
        writer.put(event)
    await writer.close()
    await log.close()
    return run


async def stored(client: httpx.AsyncClient, conversation_id: object) -> dict[str, Any]:
    for _ in range(100):
        message: dict[str, Any] = (await client.get(f"/v1/conversations/{conversation_id}")).json()["messages"][-1]
        if message["state"] != "running":
            return message
        await asyncio.sleep(0.1)
    raise AssertionError("it never ended")


async def resumed(client: httpx.AsyncClient, run_id: object, after: int = 0) -> list[Any]:
    headers = {"Last-Event-ID": str(after)}
    async with client.stream("GET", f"/v1/runs/{run_id}/events", headers=headers) as response:
        assert response.status_code == 200
        return [event async for event in read_events(response)]


async def test_an_orphan_is_brought_to_its_end_with_its_text(
    server: Server, client: httpx.AsyncClient, settings: Settings
) -> None:
    run = await orphan(server, settings, TextDelta("Becaxxx"), TextRewind(4), TextDelta("use"))
    await on(server, server.services.runs.recover())
    message = await stored(client, run.conversation_id)
    assert (message["state"], message["text"], message["problem"]["code"]) == ("failed", "Because", "interrupted")
    events = await resumed(client, run.id)
    assert [event.id for event in events] == [1, 2, 3, 4, 5]
    assert events[-1].type == "run.failed"
    assert text_of(events) == "Because"


@pytest.mark.parametrize(("end", "state"), [(RunCompleted("stop"), "completed"), (RunCancelled(), "cancelled")])
async def test_an_orphan_that_had_ended_is_stored_as_it_ended(
    server: Server, client: httpx.AsyncClient, settings: Settings, end: RunEvent, state: str
) -> None:
    run = await orphan(server, settings, TextDelta("Because."), end)
    await on(server, server.services.runs.recover())
    message = await stored(client, run.conversation_id)
    assert (message["state"], message["text"], message["problem"]) == (state, "Because.", None)


@pytest.mark.usefixtures("corpus")
async def test_a_finished_run_is_rendered_anew_once_its_log_expired(server: Server, client: httpx.AsyncClient) -> None:
    events = await chat(client, "When does the ferry leave?")
    run_id = UUID(events[0].data["run_id"])
    log = server.services.run_log
    await on(server, log._redis.delete(log._key(run_id)))
    again = await resumed(client, run_id)
    assert text_of(again) == text_of(events)
    assert [e.data for e in again if e.type == "citation"] == [e.data for e in events if e.type == "citation"]
    assert again[0].data == events[0].data
    assert again[-1].data == events[-1].data
    rest = await resumed(client, run_id, after=5)
    assert rest[0].id == 6
    assert text_of(events[:5] + rest) == text_of(events), "a resuming client is told to begin again"


@pytest.mark.usefixtures("corpus")
async def test_a_run_that_takes_too_long_is_ended(settings: Settings, serve: Callable[[Settings], Server]) -> None:
    server = serve(settings.model_copy(update={"run_max_s": 0.5, "scripted_tokens_per_s": 20}))
    async with server.client() as client:
        events = await chat(client, "When does the ferry leave? [[tokens=500]]")
        assert events[-1].type == "run.failed"
        assert events[-1].data["problem"]["code"] == "run_timed_out"
        assert (await stored(client, events[0].data["conversation_id"]))["text"] == text_of(events)
