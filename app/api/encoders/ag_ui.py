"""AG-UI: run events as events of the Agent User Interaction protocol."""

from collections.abc import Sequence
from typing import Any

import msgspec

from app.api.encoders.encoder import ending
from app.api.encoders.frames import frame
from app.api.encoders.shown_text import ShownText
from app.domain.run import (
    Citation,
    Problem,
    RetrievalCompleted,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunStarted,
    TextDelta,
    TextRewind,
)
from app.services.outcome import AnswerSoFar

RETRIEVAL = "retrieval"


class AgUiEvents:
    """Events of one run, under the names that the client gave the thread and the run.

    `messages` are those of the thread before the answer: an answer that was rewound and goes on in other words is put
    right by a snapshot of all of them.
    """

    def __init__(self, thread_id: str, run_id: str | None, messages: Sequence[dict[str, Any]]) -> None:
        self.ended = False
        self._thread_id = thread_id
        self._run_id = run_id
        self._messages = messages
        self._answer = AnswerSoFar()
        self._shown = ShownText()
        self._message_id = ""
        self._open = False
        self._retrieving = False

    def feed(self, event: RunEvent, event_id: int) -> bytes:
        """The event's events; what the protocol has no event for becomes a CUSTOM one."""
        self._answer.add(event)
        if self._answer.end is not None:
            self.ended = True
        return b"".join(map(frame, self._events(event)))

    def fail(self, problem: Problem) -> bytes:
        """An error ends the run for this client."""
        self.ended = True
        return frame(_error(problem))

    def _events(self, event: RunEvent) -> list[dict[str, Any]]:
        match event:
            case RunStarted():
                return self._begin(event)
            case RetrievalCompleted(passages):
                found = [msgspec.to_builtins(passage) for passage in passages]
                return [_custom("retrieval.completed", {"passages": found}), *self._end_retrieval()]
            case TextDelta(text):
                new = self._shown.append(text)
                return self._begin_anew() if new is None else self._text(new)
            case TextRewind(to):
                self._shown.rewind(to)
                return [_custom("text.rewind", {"to": to})]
            case Citation():
                return [_custom("citation", msgspec.to_builtins(event))]
            case RunCompleted() | RunCancelled():
                return self._finish()
            case RunFailed(problem):
                return [_error(problem)]
            case _:
                return []

    def _begin(self, event: RunStarted) -> list[dict[str, Any]]:
        self._message_id = event.message_id
        self._run_id = self._run_id or event.run_id
        self._retrieving = True
        ids = {"run_id": event.run_id, "conversation_id": event.conversation_id, "message_id": event.message_id}
        return [
            {"type": "RUN_STARTED", "threadId": self._thread_id, "runId": self._run_id},
            _custom("run.started", ids),
            {"type": "STEP_STARTED", "stepName": RETRIEVAL},
        ]

    def _text(self, new: str) -> list[dict[str, Any]]:
        if not new:
            return []
        opening = [] if self._open else [self._start()]
        return [*opening, {"type": "TEXT_MESSAGE_CONTENT", "messageId": self._message_id, "delta": new}]

    def _start(self) -> dict[str, Any]:
        self._open = True
        return {"type": "TEXT_MESSAGE_START", "messageId": self._message_id, "role": "assistant"}

    def _begin_anew(self) -> list[dict[str, Any]]:
        """A snapshot puts the answer right; the message then goes on."""
        answer = {"id": self._message_id, "role": "assistant", "content": self._shown.text}
        snapshot = {"type": "MESSAGES_SNAPSHOT", "messages": [*self._messages, answer]}
        return [*self._close(), snapshot, self._start()]

    def _close(self) -> list[dict[str, Any]]:
        was_open, self._open = self._open, False
        return [{"type": "TEXT_MESSAGE_END", "messageId": self._message_id}] if was_open else []

    def _end_retrieval(self) -> list[dict[str, Any]]:
        """The step's end, once: an answer that is written again may get other passages."""
        was_open, self._retrieving = self._retrieving, False
        return [{"type": "STEP_FINISHED", "stepName": RETRIEVAL}] if was_open else []

    def _finish(self) -> list[dict[str, Any]]:
        settled = [] if self._shown.stands else self._begin_anew()
        usage = [_custom("usage", msgspec.to_builtins(self._answer.usage))] if self._answer.usage else []
        outcome = "cancelled" if isinstance(self._answer.end, RunCancelled) else "success"
        end = {
            "type": "RUN_FINISHED",
            "threadId": self._thread_id,
            "runId": self._run_id,
            "outcome": {"type": outcome},
            "result": {"finish_reason": ending(self._answer)},
        }
        return [*settled, *self._close(), *self._end_retrieval(), *usage, end]


def _custom(name: str, value: object) -> dict[str, Any]:
    return {"type": "CUSTOM", "name": name, "value": value}


def _error(problem: Problem) -> dict[str, Any]:
    return {"type": "RUN_ERROR", "message": problem.detail, "code": problem.code}
