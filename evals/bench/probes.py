"""Probes: what is asked, with its vector known beforehand, so that no embedding is timed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.domain.ports import Vectors
from evals.bench.synthetic import SyntheticCorpus


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What a search is narrowed to: a collection, and a metadata field that must be `yes`."""

    collection: str | None = None
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """A question: `text`, its unit vector (dimensions,), and the same as the list that other libraries take."""

    text: str
    vector: Vectors
    numbers: list[float]
    narrowing: Narrowing = Narrowing()


def make_probes(corpus: SyntheticCorpus, count: int) -> list[Probe]:
    """So many questions, no two with the same text."""
    probes: dict[str, Probe] = {}
    number = 0
    while len(probes) < count:
        text, vector = corpus.question(number)
        probes.setdefault(text, Probe(text, vector, vector.tolist()))
        number += 1
    return list(probes.values())


class KnownVectors:
    """An embedder that knows the vectors of the probes, and nothing else."""

    def __init__(self, name: str, probes: Sequence[Probe]) -> None:
        self._name = name
        self._dimensions = len(probes[0].numbers)
        self._vectors = {probe.text: probe.vector[np.newaxis] for probe in probes}

    @property
    def name(self) -> str:
        """What the index generation is stored under."""
        return self._name

    @property
    def dimensions(self) -> int:
        """The length of each vector."""
        return self._dimensions

    async def embed_query(self, text: str) -> Vectors:
        """A probe's vector, shape (1, dimensions)."""
        return self._vectors[text]

    async def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """Probes' vectors, shape (len(texts), dimensions)."""
        return np.concatenate([self._vectors[text] for text in texts])

    async def close(self) -> None:
        """Nothing is held."""
