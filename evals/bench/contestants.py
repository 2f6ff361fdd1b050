"""Contestants: who searches; each gives the ids of the chunks it found, best first."""

from collections.abc import Sequence
from typing import Protocol

from app.domain.filter import Equals, Field
from app.domain.passage import Leg
from app.domain.principal import Principal
from app.services.retrieval import Retrieval, SearchRequest
from evals.bench.probes import Probe


class Contestant(Protocol):
    """Something that finds chunks."""

    @property
    def name(self) -> str:
        """What the tables call it."""
        ...

    async def search(self, probe: Probe, k: int) -> Sequence[str]:
        """Ids of the best `k` chunks in the probe's scope, best first, once everything about them is in memory."""
        ...


class Footnote:
    """Our own retrieval as answers use it, with the embedding of the question left out."""

    def __init__(self, name: str, retrieval: Retrieval, leg: Leg) -> None:
        self._name = name
        self._retrieval = retrieval
        self._leg = leg

    @property
    def name(self) -> str:
        """What the tables call it."""
        return self._name

    async def search(self, probe: Probe, k: int) -> Sequence[str]:
        """Ids of the best `k` chunks, best first."""
        wanted = probe.narrowing
        condition = Equals(Field(wanted.field), "yes") if wanted.field is not None else None
        request = SearchRequest(probe.text, k, wanted.collection, condition, self._leg)
        return [passage.id for passage in await self._retrieval.search(Principal(), request)]
