"""OpenAI Responses: run events as `response.…` events, an answer as a `response`."""

from typing import Any
from uuid import UUID

from app.api.encoders.encoder import cited, details, ending
from app.api.encoders.frames import named_frame
from app.api.encoders.openai_chat import origin, usage_of
from app.api.encoders.shown_text import ShownText
from app.domain.passage import Passage
from app.domain.run import Citation, Problem, RunEvent, RunStarted, TextDelta, TextRewind
from app.services.outcome import AnswerSoFar
from app.services.rendering import RENDERED

# An event's sequence number is its run event's id times this, plus its place among those that came of it: the same in
# every reading of a run, also where a slow reader got several deltas as one.
STRIDE = 10
STATUSES = {
    None: "in_progress",
    "stop": "completed",
    "refused": "completed",
    "clarify": "completed",
    "length": "incomplete",
    "cancelled": "cancelled",
    "failed": "failed",
}
LAST_EVENTS = {
    "completed": "response.completed",
    "incomplete": "response.incomplete",
    "cancelled": "response.incomplete",  # the protocol has the status, but no event of its own for it
    "failed": "response.failed",
}


def response_id(run_id: str | UUID) -> str:
    """How this dialect calls a run."""
    return f"resp_{UUID(str(run_id)).hex}"


def response_object(
    started: RunStarted, answer: AnswerSoFar, request: dict[str, Any], *, item: str | None = None
) -> dict[str, Any]:
    """A response as it stands; `request` is what it repeats of the request."""
    status = STATUSES[ending(answer)]
    done = answer.end is not None
    text_of_it = [message_item(item or item_id(started), answer, status)] if answer.text else []
    failed = getattr(answer.end, "problem", None)
    return {
        "id": response_id(started.run_id),
        "object": "response",
        "created_at": int(started.created_at.timestamp()),
        "status": status,
        "error": {"code": "server_error", "message": failed.detail} if failed else None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": None,
        "output": text_of_it if done else [],
        "parallel_tool_calls": False,
        "temperature": None,
        "top_p": None,
        "tool_choice": "none",
        "tools": [],
        "text": {"format": {"type": "text"}},
        "conversation": {"id": f"conv_{UUID(started.conversation_id).hex}"},
        "usage": _usage(answer) if done else None,
        "footnote": origin(started, answer),
    } | request


def item_id(started: RunStarted, restarts: int = 0) -> str:
    """The id of the answer's message."""
    return f"msg_{UUID(started.message_id).hex}" + (f"_{restarts}" if restarts else "")


def message_item(item: str, answer: AnswerSoFar, status: str) -> dict[str, Any]:
    """The answer as an output item."""
    return {
        "id": item,
        "type": "message",
        "role": "assistant",
        "status": status if status in {"completed", "in_progress"} else "incomplete",
        "content": [text_part(answer.text, [annotation(*pair) for pair in cited(answer)])],
    }


def text_part(text: str, notes: list[dict[str, Any]]) -> dict[str, Any]:
    """Text with its footnotes."""
    return {"type": "output_text", "text": text, "annotations": notes, "logprobs": []}


def annotation(citation: Citation, passage: Passage) -> dict[str, Any]:
    """A footnote as a URL citation; indexes are code points of the answer."""
    return {
        "type": "url_citation",
        "url": passage.uri,
        "title": passage.title,
        "start_index": citation.sentence_start,
        "end_index": citation.sentence_end,
        "footnote": details(citation),
    }


class ResponseEvents:
    """Events of one answer, each with its sequence number; those up to `after` are not sent again.

    An answer that was rewound and goes on in other words gets a new output item; the final response has that one alone.
    """

    def __init__(self, request: dict[str, Any], *, after: int = -1) -> None:
        self.ended = False
        self._request = request
        self._after = after
        self._answer = AnswerSoFar()
        self._shown = ShownText()
        self._started: RunStarted | None = None
        self._item: dict[str, Any] | None = None
        self._restarts = 0
        self._noted: list[Citation] = []

    def feed(self, event: RunEvent, event_id: int) -> bytes:
        """The event's events; the last of a run is always sent, for it holds the whole answer."""
        self._answer.add(event)
        events = self._events(event)
        if self._answer.end is not None:
            self.ended = True
        first = event_id % RENDERED * STRIDE  # events that were made anew count from 1 here
        numbered = [(first + place, name, fields) for place, (name, fields) in enumerate(events)]
        wanted = [entry for entry in numbered if entry[0] > self._after]
        if self.ended and not wanted:
            wanted = [(self._after + 1, *events[-1])]
        return b"".join(
            named_frame(name, {"type": name, "sequence_number": number} | fields) for number, name, fields in wanted
        )

    def fail(self, problem: Problem) -> bytes:
        """The stream ends here; the response may go on and can be retrieved."""
        self.ended = True
        error = {"type": "error", "sequence_number": self._after + 1, "code": problem.code, "param": None}
        return named_frame("error", error | {"message": problem.detail})

    def _events(self, event: RunEvent) -> list[tuple[str, dict[str, Any]]]:
        match event:
            case RunStarted():
                self._started = event
                now = {"response": self._response()}
                return [("response.created", now), ("response.in_progress", now)]
            case TextDelta(text):
                return self._text(text)
            case TextRewind(to):
                self._shown.rewind(to)
                return []
            case Citation():
                return self._note(event)
            case _ if self._answer.end is not None:
                return self._end()
            case _:
                return []

    def _text(self, delta: str) -> list[tuple[str, dict[str, Any]]]:
        new, events = self._shown.append(delta), list[tuple[str, dict[str, Any]]]()
        if new is None:
            events, new = self._restart(), self._shown.text
        if not new:
            return events
        if self._item is None:
            events += self._open()
        return [*events, ("response.output_text.delta", self._place() | {"delta": new, "logprobs": []})]

    def _note(self, citation: Citation) -> list[tuple[str, dict[str, Any]]]:
        pairs = [pair for pair in cited(self._answer) if pair[0] == citation]
        if not pairs or self._item is None or citation in self._noted:
            return []
        self._noted.append(citation)
        fields = {"annotation_index": len(self._noted) - 1, "annotation": annotation(*pairs[0])}
        return [("response.output_text.annotation.added", self._place() | fields)]

    def _open(self) -> list[tuple[str, dict[str, Any]]]:
        assert self._started is not None  # noqa: S101 - every run begins with it
        self._item = {
            "id": item_id(self._started, self._restarts),
            "type": "message",
            "role": "assistant",
            "status": "in_progress",
            "content": [],
        }
        self._noted = []
        added = {"output_index": self._restarts, "item": self._item}
        return [
            ("response.output_item.added", added),
            ("response.content_part.added", self._place() | {"part": text_part("", [])}),
        ]

    def _restart(self) -> list[tuple[str, dict[str, Any]]]:
        """Close the item whose text no longer stands."""
        given_up: list[tuple[str, dict[str, Any]]] = []
        if self._item is not None:
            item = self._item | {"status": "incomplete"}
            given_up = [("response.output_item.done", {"output_index": self._restarts, "item": item})]
        self._shown.restart()
        self._restarts += 1
        self._item = None
        return given_up

    def _end(self) -> list[tuple[str, dict[str, Any]]]:
        events: list[tuple[str, dict[str, Any]]] = []
        if not self._shown.stands:
            events += self._restart()
            events += self._open() if self._answer.text else []
        response = self._response()
        if self._item is not None:
            item = response["output"][0]
            events += [
                (
                    "response.output_text.done",
                    self._place() | {"text": self._answer.text, "logprobs": []},
                ),
                ("response.content_part.done", self._place() | {"part": item["content"][0]}),
                ("response.output_item.done", {"output_index": self._restarts, "item": item}),
            ]
        return [*events, (LAST_EVENTS[response["status"]], {"response": response})]

    def _place(self) -> dict[str, Any]:
        assert self._item is not None  # noqa: S101 - there is one while there is text
        return {"item_id": self._item["id"], "output_index": self._restarts, "content_index": 0}

    def _response(self) -> dict[str, Any]:
        assert self._started is not None  # noqa: S101 - every run begins with it
        item = self._item["id"] if self._item else None
        return response_object(self._started, self._answer, self._request, item=item)


def _usage(answer: AnswerSoFar) -> dict[str, Any]:
    counted = usage_of(answer.usage)
    return {
        "input_tokens": counted["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": counted["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": counted["total_tokens"],
    }
