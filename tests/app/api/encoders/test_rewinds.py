"""Encoders and rewinds: what every dialect has in the end is the answer, or it says that it is not."""

import json
from datetime import UTC, datetime
from typing import Any, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.encoders.ag_ui import AgUiEvents
from app.api.encoders.ai_sdk import UIMessageStream
from app.api.encoders.encoder import Encoder
from app.api.encoders.openai_chat import ChatCompletionChunks
from app.api.encoders.openai_responses import ResponseEvents
from app.api.encoders.shown_text import ShownText
from app.domain.run import (
    Citation,
    Problem,
    RetrievalCompleted,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunStarted,
    TextDelta,
    TextRewind,
)
from app.services.rendering import RENDERED

IDS = "01990000-0000-7000-8000-00000000000{}"
STARTED = RunStarted(IDS.format(1), IDS.format(2), IDS.format(3), datetime(2026, 11, 20, tzinfo=UTC))

Edits = st.lists(st.one_of(st.text("ab", min_size=1, max_size=3), st.integers(0, 6)), max_size=12)


def written(edits: list[str | int]) -> tuple[list[RunEvent], str]:
    """The events of an answer that is written by deltas and rewinds, and its text in the end."""
    events, text = list[RunEvent](), ""
    for edit in edits:
        if isinstance(edit, str):
            events.append(TextDelta(edit))
            text += edit
        else:
            to = min(edit, len(text))
            events.append(TextRewind(to))
            text = text[:to]
    return events, text


def sent(encoder: Encoder, events: list[RunEvent]) -> list[dict[str, Any]]:
    """What a client gets of the events."""
    got = b""
    for event_id, event in enumerate([STARTED, *events, RunCompleted("stop")], start=1):
        if not encoder.ended:
            got += encoder.feed(event, event_id)
    assert encoder.ended
    lines = [line.removeprefix("data: ") for line in got.decode().splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


class Reading(Protocol):
    def __call__(self, events: list[RunEvent]) -> str | None: ...


def in_chat(events: list[RunEvent]) -> str | None:
    chunks = sent(ChatCompletionChunks("m", include_usage=False), events)
    if "error" in chunks[-1]:
        assert chunks[-1]["error"]["code"] == "answer_rewound"
        return None
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)


def in_responses(events: list[RunEvent]) -> str | None:
    got, items = sent(ResponseEvents({}), events), dict[int, str]()
    for event in got:
        if event["type"] == "response.output_item.added":
            items[event["output_index"]] = ""
        if event["type"] == "response.output_text.delta":
            items[event["output_index"]] += event["delta"]
    numbers = [event["sequence_number"] for event in got]
    assert numbers == sorted(set(numbers))
    output = got[-1]["response"]["output"]
    final = output[0]["content"][0]["text"] if output else ""
    if final:
        done = [event["text"] for event in got if event["type"] == "response.output_text.done"]
        assert done == [final]
    return final


def in_ai_sdk(events: list[RunEvent]) -> str | None:
    parts, texts = sent(UIMessageStream(), events), {"text-0": ""}
    open_part, standing = "", "text-0"
    for part in parts:
        match part["type"]:
            case "text-start":
                open_part = part["id"]
                texts[open_part] = ""
            case "text-delta":
                assert part["id"] == open_part
                texts[open_part] += part["delta"]
            case "text-end":
                assert part["id"] == open_part
                open_part = ""
            case "data-rewind":
                standing = part["data"]["standing"]
                texts[standing] = ""
    assert open_part == ""
    return texts[standing]


def in_ag_ui(events: list[RunEvent]) -> str | None:
    text, is_open, steps = "", False, list[str]()
    for event in sent(AgUiEvents("t", "r", []), events):
        match event["type"]:
            case "STEP_STARTED":
                steps.append(event["stepName"])
            case "STEP_FINISHED":
                steps.remove(event["stepName"])
            case "TEXT_MESSAGE_START":
                assert not is_open
                is_open = True
            case "TEXT_MESSAGE_CONTENT":
                assert is_open
                assert event["delta"]
                text += event["delta"]
            case "TEXT_MESSAGE_END":
                assert is_open
                is_open = False
            case "MESSAGES_SNAPSHOT":
                text = event["messages"][-1]["content"]
    assert not is_open
    assert steps == []
    return text


@given(Edits)
def test_every_dialect_ends_with_the_answer(edits: list[str | int]) -> None:
    events, text = written(edits)
    assert in_chat(events) in {text, None}
    assert in_responses(events) == text
    assert in_ai_sdk(events) == text
    assert in_ag_ui(events) == text


def test_footnotes_before_the_place_of_a_rewind_stay() -> None:
    notes = [Citation(n, 4 * n, 4 * n + 3, "", "", 0, 0, "", 0.0, "unsupported") for n in range(4)]
    again = Citation(1, 4, 6, "", "", 0, 0, "", 0.0, "unsupported")
    events = [TextDelta("One.Two.Six.Ten."), *notes, TextRewind(5), TextDelta("o!"), again]
    parts = sent(UIMessageStream(), events)
    held = {part["id"]: part["data"] for part in parts if part["type"] == "data-citation"}
    standing = [data["sentence_end"] for data in held.values() if not data.get("withdrawn")]
    assert standing == [3, 6]
    assert len(held) == 4


def test_every_dialect_takes_passages_that_come_again() -> None:
    events: list[RunEvent] = [RetrievalCompleted(()), TextDelta("One."), TextRewind(0), RetrievalCompleted(())]
    events.append(TextDelta("Two."))
    assert [read(events) for read in (in_chat, in_responses, in_ai_sdk, in_ag_ui)] == [None, "Two.", "Two.", "Two."]


@given(st.text("ab", max_size=12), st.data())
def test_an_answer_that_is_written_again_in_the_same_words_goes_on_as_if_nothing_had_been(
    text: str, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(text)))
    to = data.draw(st.integers(0, at))
    pieces = [text[:at], text[to:at] + text[at : at + 1], text[at + 1 :]]
    events: list[RunEvent] = [TextDelta(pieces[0]), TextRewind(to), TextDelta(pieces[1]), TextDelta(pieces[2])]
    assert in_chat(events) == text
    assert [e["type"] for e in sent(ResponseEvents({}), events)].count("response.output_item.added") == bool(text)


@given(Edits)
def test_shown_text_is_always_a_beginning_of_the_answer_or_taken_back(edits: list[str | int]) -> None:
    shown, has = ShownText(), ""
    for edit in edits:
        if isinstance(edit, int):
            shown.rewind(min(edit, len(shown.text)))
            continue
        new = shown.append(edit)
        has = has + new if new is not None else shown.text
        assert has.startswith(shown.text)
        assert shown.stands == (has == shown.text)


@pytest.mark.parametrize(
    "encoder",
    [
        ChatCompletionChunks("m", include_usage=True),
        ResponseEvents({}),
        UIMessageStream(),
        AgUiEvents("t", None, []),
    ],
)
def test_a_stream_that_cannot_go_on_says_so(encoder: Encoder) -> None:
    problem = Problem("run_log_unavailable", "The stream was cut", "Read it again.")
    encoder.feed(STARTED, 1)
    encoder.feed(TextDelta("Half"), 2)
    assert b"Read it again." in encoder.fail(problem)
    assert encoder.ended


def test_a_response_that_was_rendered_anew_ends_for_a_client_that_is_further() -> None:
    encoder = ResponseEvents({}, after=900)
    events = [STARTED, TextDelta("All of it."), RunCompleted("stop")]
    sent = b"".join(encoder.feed(event, event_id) for event_id, event in enumerate(events, start=RENDERED + 1))
    assert sent.count(b"event: ") == 1
    event = json.loads(sent.decode().partition("data: ")[2])
    assert (event["type"], event["sequence_number"]) == ("response.completed", 901)
    assert event["response"]["output"][0]["content"][0]["text"] == "All of it."


def test_a_failed_answer_keeps_its_text_where_the_protocol_can() -> None:
    encoder = ResponseEvents({})
    problem = Problem("provider_error", "It failed", "Ask again.")
    got = b"".join(
        encoder.feed(event, event_id)
        for event_id, event in enumerate([STARTED, TextDelta("Half"), RunFailed(problem)], start=1)
    )
    last = json.loads(got.decode().rpartition("data: ")[2])
    assert (last["type"], last["response"]["status"]) == ("response.failed", "failed")
    assert last["response"]["error"] == {"code": "server_error", "message": "Ask again."}
    assert last["response"]["output"][0]["status"] == "incomplete"
