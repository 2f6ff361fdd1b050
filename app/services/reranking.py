"""Reranking: the best passages in the order that a reranker gives them, or as they were when it cannot."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from app.domain.errors import ProviderError
from app.domain.passage import Passage
from app.domain.ports import Reranker
from app.telemetry import RERANKINGS, TRACER

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Reranked:
    """Passages, best first. `applied`: the reranker ordered them; None when there is none. `reason`: why it did not."""

    passages: list[Passage]
    applied: bool | None = None
    reason: str | None = None


class Reranking:
    """Reorders the first `candidates` passages within `timeout_s`, and fails open: a search never fails for it."""

    def __init__(self, reranker: Reranker, *, timeout_s: float, candidates: int) -> None:
        self.candidates = candidates
        self._reranker = reranker
        self._timeout_s = timeout_s
        self._late: set[asyncio.Task[list[float]]] = set()

    async def apply(self, query: str, passages: Sequence[Passage]) -> Reranked:
        """The passages in the reranker's order, scored by it; what is beyond the candidates follows as it was.

        When the reranker fails or is not done in time, all stay as they were and `reason` says why.
        """
        head, tail = passages[: self.candidates], passages[self.candidates :]
        if not head:
            return Reranked(list(passages), applied=True)
        task = asyncio.create_task(self._reranker.rerank(query, [_shown(passage) for passage in head]))
        try:
            with TRACER.start_as_current_span("rerank"):
                done, _ = await asyncio.wait({task}, timeout=self._timeout_s)
        finally:
            self._leave(task)
        if not done:
            return self._failed(passages, "timed_out", f"The reranker was not done within {self._timeout_s:g} s.")
        try:
            scores = task.result()
        except ProviderError as error:
            return self._failed(passages, "failed", error.message)
        except Exception:  # a reply that breaks what reads it: nested without end, or in a charset that is none
            log.exception("rerank.crashed", reranker=self._reranker.name)
            return self._failed(passages, "failed", "The reranker sent something unexpected.")
        RERANKINGS.labels("applied").inc()
        scored = [replace(passage, score=score) for passage, score in zip(head, scores, strict=True)]
        return Reranked([*sorted(scored, key=lambda passage: -passage.score), *tail], applied=True)

    async def close(self) -> None:
        """Close the reranker, and see what was given up to its end."""
        await self._reranker.close()
        await asyncio.gather(*self._late, return_exceptions=True)

    def _leave(self, task: "asyncio.Task[list[float]]") -> None:
        """Cancel it unless it is done. Nobody waits for that: a model on this machine stops between batches only."""
        if task.cancel():
            self._late.add(task)
            task.add_done_callback(self._gone)

    def _gone(self, task: "asyncio.Task[list[float]]") -> None:
        self._late.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.info("rerank.ended_late", reranker=self._reranker.name, error=str(error))

    def _failed(self, passages: Sequence[Passage], end: str, reason: str) -> Reranked:
        RERANKINGS.labels(end).inc()
        log.warning("rerank.failed_open", reranker=self._reranker.name, reason=reason, passages=len(passages))
        return Reranked(list(passages), applied=False, reason=reason)


def _shown(passage: Passage) -> str:
    """What the reranker reads: title and headings as context, as the embedder does, then the text."""
    headings = passage.heading_path[passage.heading_path[:1] == (passage.title,) :]
    return " › ".join((passage.title, *headings)) + "\n" + passage.text
