"""The page's pure modules: event parser, code points, transcript."""

import json
import random
from typing import Any

import pytest

from tests.browser.reader import Reader

STREAM = (
    "\ufeff: a comment\r\n"
    'id: 1\r\nevent: text.delta\r\ndata: {"text": "grüße 👩‍👩‍👧"}\r\n\r\n'
    "data: two\rdata:  lines\r\r"
    "retry: 2500\nretry: soon\nevent: ignored without data\n\n"
    "id: 3: with colon\nid: not\0taken\ndata\nunknown: field\n\n"
    "data: never finished"
)
PARSED = [
    {"type": "text.delta", "data": '{"text": "grüße 👩‍👩‍👧"}', "id": "1"},
    {"type": "message", "data": "two\n lines", "id": "1"},
    {"type": "message", "data": "", "id": "3: with colon"},
]
FEED = """
const events = [];
const parser = new m.SseParser();
const parse = (parts) => {
  const parser = new m.SseParser();
  const events = parts.flatMap((part) => parser.feed(part));
  const unfinished = parser.flush();
  return JSON.stringify({ events, retryMs: parser.retryMs, unfinished });
};
const bytes = new TextEncoder().encode(value);
"""


async def test_the_parser_reads_a_stream_cut_anywhere(modules: Reader) -> None:
    body = (
        FEED
        + """
    const seen = new Set([parse([bytes]), parse([...bytes].map((byte) => Uint8Array.of(byte)))]);
    for (let first = 0; first <= bytes.length; first += 1) {
      seen.add(parse([bytes.slice(0, first), bytes.slice(first)]));
      for (let second = first; second <= bytes.length; second += 1) {
        seen.add(parse([bytes.slice(0, first), bytes.slice(first, second), bytes.slice(second)]));
      }
    }
    return [...seen];
    """
    )
    seen = await modules.module("sse", body, STREAM)
    assert [json.loads(one) for one in seen] == [{"events": PARSED, "retryMs": 2500, "unfinished": True}]


async def test_the_parser_tells_a_clean_end(modules: Reader) -> None:
    whole = "data: a\n\n: heartbeat\n\n"
    assert json.loads(await modules.module("sse", FEED + "return parse([bytes]);", whole)) == {
        "events": [{"type": "message", "data": "a", "id": ""}],
        "retryMs": None,
        "unfinished": False,
    }


async def test_code_points_are_counted_as_the_server_counts_them(modules: Reader) -> None:
    draw = random.Random(7)
    cases: list[tuple[str, int, int]] = []
    for length in [0, 1, 2, 5, 40] * 20:
        text = "".join(
            draw.choice(["a", "ß", "漢", "🎉", "👍🏽", "👩‍👩‍👧", "e\u0301", "𝔘", "\n"]) for _ in range(length)
        )
        start, end = sorted(draw.randint(0, len(text) + 2) for _ in range(2))
        cases.append((text, start, end))
    body = """return value.map(([text, start, end]) => {
      const points = new m.CodePoints(text);
      return [points.slice(start, end), points.length];
    });"""
    expected = [[text[start:end], len(text)] for text, start, end in cases]
    assert await modules.module("code-points", body, cases) == expected


def citation(start: int, end: int, index: int = 1, verdict: str = "supported") -> dict[str, Any]:
    return {
        "index": index,
        "sentence_start": start,
        "sentence_end": end,
        "verdict": verdict,
        "passage_id": "p",
        "quote": "q",
    }


async def test_events_make_the_answer(modules: Reader) -> None:
    events = [
        ("run.started", {"run_id": "r", "conversation_id": "c", "message_id": "m", "created_at": ""}),
        ("retrieval.completed", {"passages": []}),
        ("text.delta", {"text": "🎉 One. "}),
        ("citation", citation(0, 7)),
        ("text.delta", {"text": "Two."}),
        ("citation", citation(7, 11, 2)),
        ("something.new", {"text": "ignored"}),
        ("text.rewind", {"to": 7}),
        ("text.delta", {"text": "Three."}),
        ("run.completed", {"finish_reason": "stop"}),
    ]
    sent = [{"id": number, "type": kind, "data": data} for number, (kind, data) in enumerate(events, 1)]
    body = """
    const answers = [m.newAnswer()];
    for (const event of value) answers.push(m.applyEvent(answers.at(-1), event));
    const untouched = JSON.stringify(answers[0]) === JSON.stringify(m.newAnswer());
    return [answers.at(-1), untouched, m.sentenceMarks(answers.at(-1))];
    """
    answer, untouched, marks = await modules.module("transcript", body, sent)
    assert answer["text"] == "🎉 One. Three."
    assert [one["index"] for one in answer["citations"]] == [1]
    assert (answer["runId"], answer["state"], answer["finishReason"]) == ("r", "completed", "stop")
    assert answer["lastEventId"] == 10
    assert untouched
    assert marks == [{"start": 0, "end": 7, "index": 1, "verdict": "supported"}]  # UTF-16, without the space


LONG = "These words fill a line until an editor breaks it,"
REFLOWED = [
    (f"{LONG}\nso that\nit ends.\n\nNext", f"{LONG} so that\nit ends.\n\nNext"),
    (f"{LONG}\n- one\n2. two\n  indented\n| cell\n# Head", None),
    (f"# {LONG}\ntext", None),
    (f"```\n{LONG}\ncode\n```\n{LONG}\ntext", f"```\n{LONG}\ncode\n```\n{LONG} text"),
    ("short\nlines", None),
    (f"{LONG}\n======\n{LONG}\r\ntext", f"{LONG}\n======\n{LONG}\r text"),
]


@pytest.mark.parametrize(("text", "expected"), REFLOWED)
async def test_wrapped_lines_are_joined_in_place(modules: Reader, text: str, expected: str | None) -> None:
    body = "return ['text/markdown', 'application/pdf'].map((type) => m.reflowed(value, type));"
    assert await modules.module("reflow", body, text) == [expected or text, text]
    assert len(expected or text) == len(text)


async def test_a_footnote_is_supported_when_one_of_its_sentences_is(modules: Reader) -> None:
    cited = [
        citation(0, 1, 2, "partial"),
        citation(1, 2, 1, "partial"),
        citation(2, 3, 2),
        citation(3, 4, 0, "unsupported"),
    ]
    body = (
        "return m.footnotes({ citations: value, passages: [{ id: 'p' }] }).map((note) => [note.index, note.verdict]);"
    )
    assert await modules.module("transcript", body, cited) == [[1, "partial"], [2, "supported"]]


@pytest.mark.parametrize("blocked", [True, False])
async def test_values_are_remembered_even_where_storage_is_blocked(modules: Reader, blocked: bool) -> None:
    body = """
    const usual = Object.getOwnPropertyDescriptor(window, "sessionStorage");
    const refuse = { configurable: true, get() { throw new DOMException("no", "SecurityError"); } };
    if (value) Object.defineProperty(window, "sessionStorage", refuse);
    const remembered = new m.Remembered("sessionStorage", "here ");
    remembered.set("a", "1");
    remembered.set("b", "2");
    remembered.set("b", null);
    const got = [remembered.get("a"), remembered.get("b"), remembered.get("c")];
    Object.defineProperty(window, "sessionStorage", usual);
    return got;
    """
    assert await modules.module("remembered", body, blocked) == ["1", None, None]
