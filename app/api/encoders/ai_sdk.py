"""AI SDK: run events as the parts of Vercel's UI message stream, a stored message as a UI message."""

from collections.abc import Sequence
from typing import Any

import msgspec

from app.api.encoders.encoder import cited, ending
from app.api.encoders.frames import DONE, frame
from app.api.encoders.shown_text import ShownText
from app.domain.conversation import Message
from app.domain.passage import Passage
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

HEADERS = {"x-vercel-ai-ui-message-stream": "v1"}
WITHDRAWN = {"withdrawn": True}


class UIMessageStream:
    """The parts of one message.

    A text part that was sent cannot be taken back: an answer that was rewound and goes on in other words gets a new
    one, which is whole, and the last text part of a message is the one that counts (`data-rewind` names it). Nor can a
    source: sources come with the end, when it is known which stand. A data part is replaced by the next one of its
    type and id: footnotes are numbered, and those that fell are overwritten as withdrawn or by others.
    """

    def __init__(self) -> None:
        self.ended = False
        self._answer = AnswerSoFar()
        self._shown = ShownText()
        self._part = 0
        self._open = False

    def feed(self, event: RunEvent, event_id: int) -> bytes:
        """The event's parts; the whole message is one step."""
        noted = len(self._answer.citations)
        self._answer.add(event)
        parts = self._parts(event) + self._withdrawn(noted)
        if self._answer.end is None:
            return b"".join(map(frame, parts))
        self.ended = True
        return b"".join(map(frame, [*self._close(), *self._sources(), *parts])) + DONE

    def fail(self, problem: Problem) -> bytes:
        """An error, which the client shows."""
        self.ended = True
        return b"".join(map(frame, [*self._close(), _error(problem)])) + DONE

    def _parts(self, event: RunEvent) -> list[dict[str, Any]]:
        match event:
            case RunStarted():
                ids = {"runId": event.run_id, "conversationId": event.conversation_id}
                return [
                    {"type": "start", "messageId": event.message_id, "messageMetadata": ids},
                    {"type": "start-step"},
                ]
            case TextDelta(text):
                return self._text(self._shown.append(text))
            case TextRewind(to):
                self._shown.rewind(to)
                return []
            case RetrievalCompleted(passages):
                return [{"type": "data-retrieval", "id": "retrieval", "data": {"passages": len(passages)}}]
            case Citation():
                return [self._citation(event)]
            case RunCompleted(finish_reason):
                return [*self._settle(), *_finish("length" if finish_reason == "length" else "stop", self._answer)]
            case RunCancelled():
                return [*self._settle(), {"type": "finish-step"}, {"type": "abort", "reason": "stopped"}]
            case RunFailed(problem):
                return [_error(problem)]
            case _:
                return []

    def _text(self, new: str | None) -> list[dict[str, Any]]:
        if new is None:
            return self._begin_anew()
        if not new:
            return []
        opening = [] if self._open else [{"type": "text-start", "id": self._id}]
        self._open = True
        return [*opening, {"type": "text-delta", "id": self._id, "delta": new}]

    def _begin_anew(self) -> list[dict[str, Any]]:
        closing = self._close()
        self._part += 1
        rewind = {"type": "data-rewind", "id": "rewind", "data": {"standing": self._id}}
        return [*closing, rewind, *self._text(self._shown.text)]

    def _settle(self) -> list[dict[str, Any]]:
        """An answer that ended shorter than what was shown is sent anew."""
        if self._shown.stands:
            return []
        self._shown.restart()
        return [*self._begin_anew(), *self._close()]

    def _citation(self, citation: Citation) -> dict[str, Any]:
        number = len(self._answer.citations) - 1
        return {"type": "data-citation", "id": f"citation-{number}", "data": msgspec.to_builtins(citation)}

    def _withdrawn(self, noted: int) -> list[dict[str, Any]]:
        """Of `noted` footnotes that the client has, those that a rewind took back."""
        fallen = range(len(self._answer.citations), noted)
        return [{"type": "data-citation", "id": f"citation-{number}", "data": WITHDRAWN} for number in fallen]

    def _sources(self) -> list[dict[str, Any]]:
        documents = {passage.document_id: passage for _, passage in cited(self._answer)}
        return [source(passage) for passage in documents.values()]

    def _close(self) -> list[dict[str, Any]]:
        was_open, self._open = self._open, False
        return [{"type": "text-end", "id": self._id}] if was_open else []

    @property
    def _id(self) -> str:
        return f"text-{self._part}"


def source(passage: Passage) -> dict[str, Any]:
    """A document that the answer rests on."""
    if passage.uri.startswith(("http://", "https://")):
        return {"type": "source-url", "sourceId": passage.document_id, "url": passage.uri, "title": passage.title}
    return {
        "type": "source-document",
        "sourceId": passage.document_id,
        "mediaType": "text/plain",
        "title": passage.title,
        "filename": passage.uri.rpartition("/")[2],
    }


def ui_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Stored messages as a chat begins with; an answer that is being written comes by its stream."""
    return [_ui_message(message) for message in messages if message.role == "user" or message.state != "running"]


def _ui_message(message: Message) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"type": "text", "text": message.text, "state": "done"}] if message.text else []
    by_id = {passage.id: passage for passage in message.passages}
    cited = {c.passage_id: by_id[c.passage_id] for c in message.citations if c.passage_id in by_id}
    parts += {passage.document_id: source(passage) for passage in cited.values()}.values()
    parts += [{"type": "data-citation", "data": msgspec.to_builtins(citation)} for citation in message.citations]
    metadata = {"runId": str(message.run_id), "state": message.state} if message.run_id else {}
    return {"id": str(message.id), "role": message.role, "metadata": metadata, "parts": parts}


def _finish(reason: str, answer: AnswerSoFar) -> list[dict[str, Any]]:
    metadata: dict[str, Any] = {"finishReason": ending(answer)}
    if answer.usage is not None:
        metadata["usage"] = msgspec.to_builtins(answer.usage)
    return [{"type": "finish-step"}, {"type": "finish", "finishReason": reason, "messageMetadata": metadata}]


def _error(problem: Problem) -> dict[str, Any]:
    return {"type": "error", "errorText": problem.detail}
