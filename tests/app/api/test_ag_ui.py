"""AG-UI's own HTTP agent: threads, resuming, stopping, failures, and threads that began in another dialect."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from app.settings import Settings
from tests.fixtures.server import Server, chat, text_of

pytestmark = pytest.mark.usefixtures("corpus")
QUESTION = "When does the ferry to Holm Island leave?"


def kinds(run: dict[str, Any]) -> list[str]:
    return [event["type"] for event in run["events"]]


async def test_a_thread_goes_on_and_others_are_read(
    node: Callable[..., Any], server: Server, client: httpx.AsyncClient
) -> None:
    done = node("ag-ui.mjs", "answer", server.url)
    assert done["first"]["failure"] is done["second"]["failure"] is None
    assert [message["role"] for message in done["second"]["messages"]] == ["user", "assistant", "user", "assistant"]
    seen = kinds(done["first"])
    assert seen[:5] == ["RUN_STARTED", "CUSTOM", "STEP_STARTED", "CUSTOM", "STEP_FINISHED"]
    assert seen[-3:] == ["TEXT_MESSAGE_END", "CUSTOM", "RUN_FINISHED"]
    notes = [event["value"] for event in done["first"]["events"] if event.get("name") == "citation"]
    assert {note["verdict"] for note in notes} == {"supported"}
    last = done["first"]["events"][-1]
    assert (last["outcome"], last["result"]) == ({"type": "success"}, {"finish_reason": "stop"})
    (listed,) = (await client.get("/v1/conversations")).json()["conversations"]
    stored = (await client.get(f"/v1/conversations/{listed['id']}")).json()["messages"]
    assert [m["text"] for m in stored] == [m["content"] for m in done["second"]["messages"]]

    events = await chat(client, QUESTION)
    read = node("ag-ui.mjs", "read", server.url, events[0].data["conversation_id"])
    assert read["failure"] is None
    assert [message["content"] for message in read["messages"]] == [text_of(events)]
    assert (await client.get("/v1/ag-ui/unknown/stream")).status_code == 204


def test_an_answer_that_is_written_again_from_other_passages_does_not_end_its_step_twice(
    node: Callable[..., Any], server: Server, other_passages_at_first: None
) -> None:
    done = node("ag-ui.mjs", "ask", server.url, f"{QUESTION} [[tokens=300]] [[break-once=250]]")
    assert done["failure"] is None
    seen = kinds(done)
    assert (seen.count("STEP_STARTED"), seen.count("STEP_FINISHED")) == (1, 1)
    customs = [event["name"] for event in done["events"] if event["type"] == "CUSTOM"]
    assert customs.count("retrieval.completed") == 2
    assert customs.count("text.rewind") == 1
    assert len(done["messages"][1]["content"].split()) == 300


def test_a_failing_provider_is_a_run_error(node: Callable[..., Any], server: Server) -> None:
    done = node("ag-ui.mjs", "failures", server.url)
    for run in (done["before"], done["after"]):
        error = run["events"][-1]
        assert (error["type"], error["code"]) == ("RUN_ERROR", "provider_unavailable")
        assert error["message"] == "The scripted model failed, as the question told it to."
    assert len(done["before"]["messages"]) == 1
    assert len(done["after"]["messages"][1]["content"].split()) > 20
    assert "HTTP 422" in done["refused"]["failure"]
    assert "the question is empty" in done["refused"]["failure"]


def test_leaving_stops_nothing_and_stopping_stops(
    node: Callable[..., Any], settings: Settings, serve: Callable[[Settings], Server]
) -> None:
    server = serve(settings.model_copy(update={"scripted_tokens_per_s": 50}))
    resumed = node("ag-ui.mjs", "resume", server.url)
    assert resumed["failure"] is None
    assert [len(message["content"].split()) for message in resumed["messages"]] == [60]
    stopped = node("ag-ui.mjs", "stop", server.url)
    assert stopped["status"] == 204
    assert stopped["events"][-1]["outcome"] == {"type": "cancelled"}
    assert 0 < len(stopped["messages"][1]["content"].split()) < 1000
