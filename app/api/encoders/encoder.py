"""Encoder: what turns a run's events into one client dialect."""

from typing import Any, Protocol

from app.domain.passage import Passage
from app.domain.run import Citation, Problem, RunCancelled, RunCompleted, RunEvent
from app.services.outcome import AnswerSoFar


class Encoder(Protocol):
    """Keeps what it must remember of one run; does no I/O."""

    @property
    def ended(self) -> bool:
        """Whether nothing may follow."""
        ...

    def feed(self, event: RunEvent, event_id: int) -> bytes:
        """What the event becomes; empty for one that the dialect does not know."""
        ...

    def fail(self, problem: Problem) -> bytes:
        """An end that is not the run's own: the stream cannot go on."""
        ...


def cited(answer: AnswerSoFar) -> list[tuple[Citation, Passage]]:
    """The footnotes that have a source, with it; a sentence without support has none."""
    passages = {passage.id: passage for passage in answer.passages}
    return [(c, passages[c.passage_id]) for c in answer.citations if c.passage_id in passages]


def details(citation: Citation) -> dict[str, Any]:
    """What Footnote knows of a citation and the dialects have no field for."""
    return {
        "index": citation.index,
        "document_id": citation.document_id,
        "char_start": citation.char_start,
        "char_end": citation.char_end,
        "quote": citation.quote,
        "score": citation.score,
        "verdict": citation.verdict,
    }


def ending(answer: AnswerSoFar) -> str | None:
    """How the answer ended, in Footnote's words: `stop`, `length`, `refused`, `cancelled`, `failed`; None: not yet."""
    match answer.end:
        case None:
            return None
        case RunCompleted(finish_reason):
            return finish_reason
        case RunCancelled():
            return "cancelled"
        case _:
            return "failed"
