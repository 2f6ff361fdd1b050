"""Runs whose worker died, that wait, that nobody reads, whose log expired: each comes to its end and loses nothing."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from app.domain.conversation import ChatMessage
from app.domain.filter_wire import parse_filter
from app.domain.ports import ChatDelta
from app.domain.principal import DEFAULT_WORKSPACE_ID, Principal
from app.domain.run import Run, RunCancelled, RunCompleted, RunEvent, RunStarted, RunState, TextDelta, TextRewind
from app.providers.fakes import ScriptedChatModel
from app.services.answering import Question
from app.services.stored_question import restored
from app.services.stored_question import stored as stored_question
from app.settings import Settings
from app.storage.models import new_id
from app.storage.run_creation import NewRun
from app.storage.run_log import RunLog
from app.storage.runs import Outcome, RunStore
from tests.fixtures.server import Server, chat, read_events, text_of


async def on(server: Server, work: Coroutine[Any, Any, Any]) -> Any:
    """Run work on the server's event loop."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, server.loop))


def kept(question: str) -> dict[str, Any]:
    """What a run keeps of its question."""
    return stored_question(Principal(), Question(question))


async def orphan(
    server: Server, settings: Settings, *events: RunEvent, question: str = "Why?", kept: dict[str, Any] | None = None
) -> Run:
    """A run whose worker died after these events."""
    store = RunStore(server.services.database, worker="dead", lease_s=-1)
    run, _ = await on(server, store.create(DEFAULT_WORKSPACE_ID, NewRun(question, "local", kept=kept)))
    assert settings.redis_url is not None
    log = RunLog(settings.redis_url.get_secret_value())
    writer = log.writer(run.id, run.attempt)
    for event in (RunStarted(str(run.id), str(run.conversation_id), str(run.message_id), run.created_at), *events):
        writer.put(event)
    await writer.flushed()
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


async def test_an_orphan_of_which_nothing_is_known_keeps_its_text(
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
    assert [again[i].data for i in (0, 1, -1)] == [events[i].data for i in (0, 1, -1)]
    read = {"Last-Event-ID": str(events[-1].id)}
    assert (await client.get(f"/v1/runs/{run_id}/events", headers=read)).status_code == 204, "it has all of them"
    rest = await resumed(client, run_id, after=5)
    assert text_of(events[:5] + rest) == text_of(events), "a resuming client is told to begin again"
    assert rest == again, "in every reading the events have the same ids"
    assert rest[0].id > events[-1].id
    assert await resumed(client, run_id, after=rest[2].id) == rest[3:]
    headers = {"Last-Event-ID": str(rest[-1].id)}
    assert (await client.get(f"/v1/runs/{run_id}/events", headers=headers)).status_code == 204


@pytest.mark.usefixtures("corpus")
async def test_a_run_that_takes_too_long_is_ended(settings: Settings, serve: Callable[[Settings], Server]) -> None:
    server = serve(settings.model_copy(update={"run_max_s": 0.5, "scripted_tokens_per_s": 20}))
    async with server.client() as client:
        events = await chat(client, "When does the ferry leave? [[tokens=500]]")
        assert events[-1].type == "run.failed"
        assert events[-1].data["problem"]["code"] == "run_timed_out"
        assert (await stored(client, events[0].data["conversation_id"]))["text"] == text_of(events)


QUESTION = "When does the ferry to Holm Island leave?"


@pytest.mark.usefixtures("corpus")
async def test_the_time_of_the_workers_before_counts(settings: Settings, serve: Callable[[Settings], Server]) -> None:
    server = serve(settings.model_copy(update={"run_max_s": 30}))
    run = await orphan(server, settings, question=QUESTION, kept=kept(QUESTION))
    with psycopg.connect(settings.database_url.get_secret_value()) as connection:  # type: ignore[union-attr]
        connection.execute("UPDATE run SET begun_at = now() - interval '40 s' WHERE id = %s", [run.id])
    await on(server, server.services.runs.recover())
    async with server.client() as client:
        message = await stored(client, run.conversation_id)
        assert (message["state"], message["problem"]["code"]) == ("failed", "run_timed_out")


@pytest.mark.usefixtures("corpus")
async def test_the_time_without_a_worker_does_not_count(
    settings: Settings, serve: Callable[[Settings], Server]
) -> None:
    server = serve(settings.model_copy(update={"run_max_s": 30}))
    run = await orphan(server, settings, question=QUESTION, kept=kept(QUESTION))
    away = "begun_at = now() - interval '3605 s', lease_expires_at = now() - interval '3600 s'"
    with psycopg.connect(settings.database_url.get_secret_value()) as connection:  # type: ignore[union-attr]
        connection.execute(f"UPDATE run SET {away} WHERE id = %s", [run.id])
    await on(server, server.services.runs.recover())
    async with server.client() as client:
        assert (await stored(client, run.conversation_id))["state"] == "completed"


@pytest.mark.usefixtures("corpus")
async def test_an_answer_that_postgresql_does_not_take_ends_all_the_same(
    server: Server, client: httpx.AsyncClient, settings: Settings
) -> None:
    """As of a log that an earlier version wrote."""
    said = TextDelta("The ferry\0 leaves.")
    run = await orphan(server, settings, said, RunCompleted("stop"), question=QUESTION, kept=kept(QUESTION))
    await on(server, server.services.runs.recover())
    message = await stored(client, run.conversation_id)
    assert (message["state"], message["problem"]["code"]) == ("failed", "internal_error")
    assert (await chat(client, QUESTION, conversation_id=str(run.conversation_id)))[-1].type == "run.completed"


@pytest.mark.usefixtures("corpus")
@pytest.mark.parametrize("cut", [1, 2, 4, 9])
async def test_a_taken_over_run_goes_on_where_its_log_ends(
    server: Server, client: httpx.AsyncClient, settings: Settings, cut: int
) -> None:
    whole = await chat(client, QUESTION)
    log = server.services.run_log
    written = await on(server, log.events(UUID(whole[0].data["run_id"]), limit=cut))
    events = [logged.event() for logged in written[1:]]
    run = await orphan(server, settings, *events, question=QUESTION, kept=kept(QUESTION))
    await on(server, server.services.runs.recover())
    again = await resumed(client, run.id)
    assert [event.id for event in again] == list(range(1, len(whole) + 1)), "nothing is told twice"
    assert [(event.type, event.data) for event in again[1:]] == [(event.type, event.data) for event in whole[1:]]
    message = await stored(client, run.conversation_id)
    assert (message["state"], message["text"]) == ("completed", text_of(whole))


@pytest.mark.usefixtures("corpus")
async def test_what_the_dead_worker_said_otherwise_is_taken_back(
    server: Server, client: httpx.AsyncClient, settings: Settings
) -> None:
    said = "[[say=The ferry leaves at noon. It is blue.]]"
    first = TextDelta("The ferry leaves at nine.")
    run = await orphan(server, settings, first, TextDelta(" It sank."), question=said, kept=kept(said))
    await on(server, server.services.runs.recover())
    events = await resumed(client, run.id)
    # the passages come anew, and what was said before them goes
    assert next(event.data for event in events if event.type == "text.rewind") == {"to": 0}
    assert text_of(events) == "The ferry leaves at noon. It is blue."
    assert (await stored(client, run.conversation_id))["text"] == text_of(events)


@pytest.mark.usefixtures("corpus")
async def test_a_run_that_killed_three_workers_is_given_up(
    server: Server, client: httpx.AsyncClient, settings: Settings
) -> None:
    run = await orphan(server, settings, TextDelta("Becau"), question=QUESTION, kept=kept(QUESTION))
    with psycopg.connect(settings.database_url.get_secret_value()) as connection:  # type: ignore[union-attr]
        connection.execute("UPDATE run SET crashes = 2 WHERE id = %s", [run.id])
    await on(server, server.services.runs.recover())
    message = await stored(client, run.conversation_id)
    assert (message["state"], message["text"]) == ("failed", "Becau")
    assert "3 workers" in message["problem"]["detail"]


@pytest.mark.usefixtures("corpus")
async def test_a_model_that_breaks_off_once_is_asked_again(client: httpx.AsyncClient) -> None:
    events = await chat(client, f"{QUESTION} [[break-once=4]]")
    assert events[-1].type == "run.completed"
    assert "text.rewind" not in {event.type for event in events}, "it said the same again"
    differing = await chat(client, f"{QUESTION} [[break-once=4]] [[differ]]")
    assert differing[-1].type == "run.completed"
    assert [event.data["to"] for event in differing if event.type == "text.rewind"], "it said something else"
    conversation = (await client.get(f"/v1/conversations/{differing[0].data['conversation_id']}")).json()
    assert conversation["messages"][-1]["text"] == text_of(differing)


@pytest.mark.usefixtures("corpus")
async def test_over_the_cap_answers_wait_their_turn(settings: Settings, serve: Callable[[Settings], Server]) -> None:
    server = serve(settings.model_copy(update={"runs_written": 2, "scripted_tokens_per_s": 60}))
    async with server.client() as client:
        answers = await asyncio.gather(*(chat(client, f"{QUESTION} [[tokens=30]]") for _ in range(6)))
        assert [events[-1].type for events in answers] == ["run.completed"] * 6
        queued = sorted(e.data["position"] for events in answers for e in events if e.type == "run.queued")
        assert queued == [1, 2, 3, 4]
        assert all([e.id for e in events] == list(range(1, len(events) + 1)) for events in answers)
        waiting = asyncio.create_task(chat(client, f"{QUESTION} [[tokens=90]]"))
        await asyncio.sleep(0.2)
        others = [asyncio.create_task(chat(client, f"{QUESTION} [[tokens=60]]")) for _ in range(2)]
        await asyncio.sleep(0.2)
        async with client.stream("POST", "/v1/chat", json={"message": QUESTION}) as response:
            run_id = response.headers["x-run-id"]
            stopped = (await client.post(f"/v1/runs/{run_id}/cancel")).json()
            assert (stopped["state"], stopped["tokens"]) == ("cancelled", 0), "a waiting one is stopped like any other"
            assert [event.type async for event in read_events(response)][-1] == "run.cancelled"
        await asyncio.gather(waiting, *others)


@pytest.mark.usefixtures("corpus")
async def test_a_run_is_stopped_from_any_worker(settings: Settings, serve: Callable[[Settings], Server]) -> None:
    slow = settings.model_copy(update={"scripted_tokens_per_s": 20})
    writer, other = serve(slow), serve(slow)
    async with writer.client() as client, other.client() as elsewhere:
        async with client.stream("POST", "/v1/chat", json={"message": f"{QUESTION} [[tokens=400]]"}) as response:
            events = read_events(response)
            seen = [await anext(events) for _ in range(12)]
            stopped = (await elsewhere.post(f"/v1/runs/{seen[0].data['run_id']}/cancel")).json()
            assert stopped["state"] == "cancelled"
            assert stopped["tokens"] > 0
            assert writer.services.model.open_streams == 0  # type: ignore[attr-defined]
            seen += [event async for event in events]
        assert seen[-1].type == "run.cancelled"
        assert stopped["text_chars"] == len(text_of(seen))
        assert await resumed(elsewhere, seen[0].data["run_id"]) == seen


@pytest.mark.usefixtures("corpus")
async def test_a_run_that_nobody_reads_is_stopped(settings: Settings, serve: Callable[[Settings], Server]) -> None:
    quick = {"scripted_tokens_per_s": 20, "abandon_after_s": 1, "run_lease_s": 1}
    writer, other = (serve(settings.model_copy(update=quick)) for _ in range(2))
    body = {"message": f"{QUESTION} [[tokens=120]]"}
    async with writer.client() as client, other.client() as elsewhere:
        async with client.stream("POST", "/v1/chat", json=body) as response:
            left = await anext(read_events(response))
        async with client.stream("POST", "/v1/chat", json=body) as response:
            followed = await anext(read_events(response))
            reading = asyncio.ensure_future(resumed(elsewhere, followed.data["run_id"]))
            await asyncio.sleep(0.2)  # the reader on the other worker is there before this one goes
        assert (await reading)[-1].type == "run.completed", "read on another worker"
        message = await stored(client, left.data["conversation_id"])
        assert message["state"] == "cancelled"


@pytest.mark.usefixtures("corpus")
async def test_who_waits_for_a_whole_answer_and_leaves_does_not_read_it(
    settings: Settings, serve: Callable[[Settings], Server]
) -> None:
    server = serve(settings.model_copy(update={"scripted_tokens_per_s": 20, "abandon_after_s": 1, "run_lease_s": 1}))
    messages = [{"role": "user", "content": f"{QUESTION} [[tokens=120]]"}]
    async with server.client() as client:
        for path, body in (
            ("/v1/chat/completions", {"model": "footnote", "messages": messages}),
            ("/v1/responses", {"model": "footnote", "input": messages}),
        ):
            with pytest.raises(httpx.ReadTimeout):
                await client.post(path, json=body, timeout=0.5)
            (newest, *_) = (await client.get("/v1/conversations")).json()["conversations"]
            assert (await stored(client, newest["id"]))["state"] == "cancelled"


@pytest.mark.usefixtures("corpus")
async def test_what_waits_for_its_place_is_not_written_for_nobody(
    settings: Settings, serve: Callable[[Settings], Server]
) -> None:
    limits = {"runs_written": 1, "scripted_tokens_per_s": 20, "abandon_after_s": 1, "run_lease_s": 1}
    server = serve(settings.model_copy(update=limits))
    async with server.client() as client:
        first = asyncio.create_task(chat(client, f"{QUESTION} [[tokens=60]]"))
        await asyncio.sleep(0.3)
        async with client.stream("POST", "/v1/chat", json={"message": QUESTION}) as response:
            left = await anext(read_events(response))
        stays = asyncio.create_task(chat(client, QUESTION))
        assert (await first)[-1].type == "run.completed"
        assert (await stays)[-1].type == "run.completed", "its reader is there"
        message = await stored(client, left.data["conversation_id"])
        assert (message["state"], message["text"]) == ("cancelled", "")


class Swallowing(ScriptedChatModel):
    """A model whose client swallows a cancellation, as `asyncio.wait_for` does before Python 3.12."""

    async def stream(self, messages: Sequence[ChatMessage], *, max_tokens: int) -> AsyncGenerator[ChatDelta, None]:
        """As the scripted one, a word every 20 ms."""
        async with aclosing(super().stream(messages, max_tokens=max_tokens)) as deltas:
            async for delta in deltas:
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(0.02)
                yield delta


@pytest.mark.usefixtures("corpus")
async def test_a_stop_that_a_library_swallows_is_not_lost(
    settings: Settings, serve: Callable[[Settings], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.providers.chat_model.ScriptedChatModel", Swallowing)
    async with serve(settings).client() as client:
        body = {"message": f"{QUESTION} [[tokens=500]]"}
        async with client.stream("POST", "/v1/chat", json=body) as response:
            events = read_events(response)
            run_id = (await anext(events)).data["run_id"]
            async for event in events:
                if event.type == "text.delta":
                    break
            stopped = (await client.post(f"/v1/runs/{run_id}/cancel")).json()
            last = [event async for event in events][-1]
    assert (stopped["state"], last.type) == ("cancelled", "run.cancelled")
    assert stopped["tokens"] < 250, "it did not go on to its end"


@pytest.mark.usefixtures("corpus")
async def test_a_worker_that_leaves_hands_its_answers_over(
    settings: Settings, serve: Callable[[Settings], Server]
) -> None:
    slow = settings.model_copy(update={"scripted_tokens_per_s": 30})
    leaving, staying = serve(slow), serve(slow)
    async with leaving.client() as client, staying.client() as elsewhere:
        async with client.stream("POST", "/v1/chat", json={"message": f"{QUESTION} [[tokens=60]]"}) as response:
            events = read_events(response)
            seen = [await anext(events) for _ in range(10)]
            assert await on(leaving, leaving.services.runs.hand_over())
            assert leaving.services.runs.active == 0
            seen += [event async for event in events]
        assert seen[-1].type == "run.completed", "its reader here goes on reading"
        assert [event.id for event in seen] == list(range(1, len(seen) + 1))
        assert await resumed(elsewhere, seen[0].data["run_id"]) == seen
        refused = await client.post("/v1/chat", json={"message": QUESTION})
        assert (refused.status_code, refused.json()["code"]) == (503, "shutting_down")


async def test_a_stored_run_whose_log_has_no_end_gets_it(
    server: Server, client: httpx.AsyncClient, settings: Settings
) -> None:
    run = await orphan(server, settings, TextDelta("Because."))
    store = RunStore(server.services.database, worker="dead", lease_s=-1)
    await on(server, store.finish(run, Outcome(RunState.COMPLETED, "Because.", "stop")))
    events = await asyncio.wait_for(resumed(client, run.id), 20)
    assert [event.type for event in events] == ["run.started", "text.delta", "run.completed"]
    short = await orphan(server, settings, TextDelta("Beca"))
    await on(server, store.finish(short, Outcome(RunState.COMPLETED, "Because.", "stop")))
    assert text_of(await asyncio.wait_for(resumed(client, short.id), 20)) == "Because.", "made anew from what is stored"


def test_a_question_is_kept_whole() -> None:
    wanted = parse_filter(
        {"lang": "en", "year": {"$gte": 2020, "$lt": 2024}, "$or": [{"a": {"$in": [1]}}, {"b": None}]}
    )
    asked = Question("Why?", None, "default", wanted, history=(ChatMessage("user", "Hm?"),), background=True)
    run = Run(new_id(), DEFAULT_WORKSPACE_ID, new_id(), new_id(), RunState.RUNNING, 1, datetime.now(UTC))
    principal, again = restored(run, json.loads(json.dumps(stored_question(Principal(name="key-2"), asked))))
    assert (principal.name, again) == ("key-2", asked)


def test_a_restored_question_is_still_a_visitors() -> None:
    principal, question = Principal(name="visitors:garden", collection="garden"), Question("Why?", collection="garden")
    run = Run(new_id(), DEFAULT_WORKSPACE_ID, new_id(), new_id(), RunState.RUNNING, 1, datetime.now(UTC))
    kept = stored_question(principal, question)
    assert restored(run, kept) == (principal, question)
    del kept["visits"]  # as workers of the version before keep it
    assert restored(run, kept)[0].name == principal.name
