"""Outcome: what a run's events add up to, as a client has it and as it is stored."""

from dataclasses import dataclass, field

from msgspec import UNSET

from app.domain.passage import Passage
from app.domain.run import (
    Citation,
    FinishReason,
    Problem,
    RetrievalCompleted,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunQueued,
    RunStarted,
    RunState,
    TextDelta,
    TextRewind,
    Usage,
)
from app.services.answering import Provenance
from app.storage.runs import Outcome

INTERRUPTED = Problem(
    "interrupted",
    "The answer was interrupted",
    "The server stopped while it was writing. What it had is kept; ask again.",
)


@dataclass(slots=True)
class AnswerSoFar:
    """Folds a run's events. `retrieved`: whether the passages are known, be they none."""

    text: str = ""
    citations: list[Citation] = field(default_factory=list)
    passages: tuple[Passage, ...] = ()
    reranked: bool | None = None
    retrieved: bool = False
    usage: Usage | None = None
    end: RunCompleted | RunCancelled | RunFailed | None = None

    def add(self, event: RunEvent) -> None:
        """Take one more event in."""
        match event:
            case TextDelta(text):
                self.text += text
            case TextRewind(to):
                self.text = self.text[:to]
                self.citations = [c for c in self.citations if c.sentence_end <= to]
            case RetrievalCompleted(passages, reranked):
                self.passages, self.retrieved = passages, True
                self.reranked = None if reranked is UNSET else reranked
            case Citation():
                self.citations.append(event)
            case Usage():
                self.usage = event
            case RunCompleted() | RunCancelled() | RunFailed():
                self.end = event
            case RunStarted() | RunQueued():
                pass

    def outcome(self, provenance: Provenance | None = None, *, last_event: int | None = None) -> Outcome:
        """What is stored, `last_event` with it; an answer without an end was interrupted."""
        state, reason, problem = _ending(self.end)
        known = provenance or Provenance()
        return Outcome(
            state=state,
            text=self.text,
            finish_reason=reason,
            problem=problem,
            citations=tuple(self.citations),
            passages=self.passages,
            reranked=self.reranked,
            usage=self.usage,
            prompt=known.prompt,
            generation_id=known.generation_id,
            timings_ms=known.timings_ms,
            last_event=last_event,
        )


def _ending(
    end: RunCompleted | RunCancelled | RunFailed | None,
) -> tuple[RunState, FinishReason | None, Problem | None]:
    match end:
        case RunCompleted(finish_reason):
            return RunState.COMPLETED, finish_reason, None
        case RunCancelled():
            return RunState.CANCELLED, None, None
        case RunFailed(problem):
            return RunState.FAILED, None, problem
        case None:
            return RunState.FAILED, None, INTERRUPTED
