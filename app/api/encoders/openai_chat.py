"""OpenAI chat completions: run events as `chat.completion.chunk`s, an answer as a `chat.completion`."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from app.api.encoders.encoder import cited, details, ending
from app.api.encoders.frames import DONE, frame
from app.api.encoders.shown_text import ShownText
from app.domain.run import Problem, RunEvent, RunFailed, RunStarted, TextDelta, TextRewind, Usage
from app.services.outcome import AnswerSoFar

# Nothing was filtered when nothing was found, and a stop is the user's own; `footnote.finish_reason` tells them apart.
FINISH_REASONS = {"stop": "stop", "length": "length", "refused": "stop", "clarify": "stop", "cancelled": "stop"}
REWOUND = Problem(
    "answer_rewound",
    "The answer was begun anew in other words",
    "What was streamed so far no longer stands, and this protocol cannot take it back; retrieve the whole answer by "
    "its id, or ask again.",
)


def completion_id(run_id: str | UUID) -> str:
    """How this dialect calls a run."""
    return f"chatcmpl-{UUID(str(run_id)).hex}"


def error_body(problem: Problem, *, kind: str = "server_error", param: str | None = None) -> dict[str, Any]:
    """An error as OpenAI's clients know it."""
    return {"error": {"message": problem.detail, "type": kind, "param": param, "code": problem.code}}


class ChatCompletionChunks:
    """Chunks of one answer; its footnotes come with the last text, when they are final."""

    def __init__(self, model: str, *, include_usage: bool) -> None:
        self.ended = False
        self._model = model
        self._include_usage = include_usage
        self._answer = AnswerSoFar()
        self._shown = ShownText()
        self._started: RunStarted | None = None

    def feed(self, event: RunEvent, event_id: int) -> bytes:
        """The event's chunks; nothing for what comes between them."""
        self._answer.add(event)
        match event:
            case RunStarted():
                self._started = event
                return self._chunk({"role": "assistant", "content": ""})
            case TextDelta(text):
                return self._text(self._shown.append(text))
            case TextRewind(to):
                self._shown.rewind(to)
                return b""
            case RunFailed(problem):
                return self.fail(problem)
            case _ if self._answer.end is not None:
                return self._end()
            case _:
                return b""

    def fail(self, problem: Problem) -> bytes:
        """An error instead of a chunk, which OpenAI's clients raise."""
        self.ended = True
        return frame(error_body(problem)) + DONE

    def _text(self, new: str | None) -> bytes:
        if new is None:
            return self.fail(REWOUND)
        return self._chunk({"content": new}) if new else b""

    def _end(self) -> bytes:
        if not self._shown.stands:
            return self.fail(REWOUND)
        self.ended = True
        notes = annotations(self._answer)
        reason = FINISH_REASONS[ending(self._answer) or "stop"]
        last = (self._chunk({"annotations": notes}) if notes else b"") + self._chunk({}, reason)
        if self._include_usage:
            last += frame(self._head() | {"choices": [], "usage": usage_of(self._answer.usage)})
        return last + DONE

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        chunk = self._head() | {"choices": [choice]} | ({"usage": None} if self._include_usage else {})
        if finish_reason is not None and self._started is not None:
            chunk["footnote"] = origin(self._started, self._answer)
        return frame(chunk)

    def _head(self) -> dict[str, Any]:
        assert self._started is not None  # noqa: S101 - every run begins with it
        return {
            "id": completion_id(self._started.run_id),
            "object": "chat.completion.chunk",
            "created": int(self._started.created_at.timestamp()),
            "model": self._model,
        }


def completion(started: RunStarted, answer: AnswerSoFar, model: str) -> dict[str, Any]:
    """A whole answer."""
    message = {
        "role": "assistant",
        "content": answer.text,
        "refusal": None,
        "annotations": annotations(answer),
    }
    return {
        "id": completion_id(started.run_id),
        "object": "chat.completion",
        "created": int(started.created_at.timestamp()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": FINISH_REASONS[ending(answer) or "stop"],
                "logprobs": None,
            }
        ],
        "usage": usage_of(answer.usage),
        "footnote": origin(started, answer),
    }


def annotations(answer: AnswerSoFar) -> Sequence[dict[str, Any]]:
    """The footnotes as URL citations; indexes are code points of the answer."""
    return [
        {
            "type": "url_citation",
            "url_citation": {
                "start_index": citation.sentence_start,
                "end_index": citation.sentence_end,
                "title": passage.title,
                "url": passage.uri,
            },
            "footnote": details(citation),
        }
        for citation, passage in cited(answer)
    ]


def origin(started: RunStarted, answer: AnswerSoFar) -> dict[str, Any]:
    """Where this answer is to be found in every other dialect, and how it ended."""
    return {
        "run_id": started.run_id,
        "conversation_id": started.conversation_id,
        "finish_reason": ending(answer),
    }


def usage_of(usage: Usage | None) -> dict[str, int]:
    """Tokens of the whole prompt and the answer; a refusal asked no model."""
    prompt, written = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
    return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}
