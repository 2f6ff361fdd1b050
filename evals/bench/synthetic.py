"""Synthetic corpus: documents about topics, their vectors, words and metadata all made here from a seed.

Vectors lie around topic centres, with noise whose spectrum decays as that of real embeddings does, so that neighbours
mean something. Words follow Zipf's law; a part of a chunk's words is its topic's own. Everything about a document
follows from (seed, number), so that an interrupted load goes on without making the rest anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from app.domain.ports import Vectors

MADE_BY = "synthetic-1"
"""Names this way of making a corpus; another way takes another name, so that no loaded corpus is taken for it."""
DIMENSIONS = 384
CHUNKS_PER_DOCUMENT = 4
SHARES = {"50": 0.5, "10": 0.1, "1": 0.01, "01": 0.001}
"""Shares of the documents that filters keep, by their names in metadata."""
KINDS = {"free": "independent of the topic", "tied": "whole topics"}
"""`free_10` keeps 10 % of the documents whatever they are about, `tied_10` those of a tenth of the topics."""
FIELDS = tuple(f"{kind}_{share}" for kind, share in product(KINDS, SHARES))

_TOPICS = 200
_VOCABULARY = 30_000
_TOPIC_WORDS = 300
_WORDS = (25, 90, 250)  # of a chunk: fewest, median, most
_OWN = 0.4  # share of a chunk's words that are its topic's
_STRAY = 0.15  # share of a document's chunks that are about something else
_DOCUMENT_NOISE, _CHUNK_NOISE, _QUESTION_NOISE = 0.6, 0.7, 0.4  # lengths beside a centre of length 1
_SYLLABLES = [a + b for a, b in product("bdfgklmnprstvz", "aeiou")]


@dataclass(frozen=True, slots=True)
class SyntheticDocument:
    """One document: the texts and vectors (n, 384) of its chunks, and what filters see."""

    number: int
    topic: int
    texts: tuple[str, ...]
    vectors: Vectors
    metadata: dict[str, object]


class SyntheticCorpus:
    """`chunks` chunks, in documents of four; the same for the same seed."""

    def __init__(self, chunks: int, *, seed: int = 1) -> None:
        self.documents = max(1, chunks // CHUNKS_PER_DOCUMENT)
        self.chunks = self.documents * CHUNKS_PER_DOCUMENT
        self._seed = seed
        rng = np.random.default_rng([seed, 0])
        self._spectrum = rng.permutation(np.arange(1, DIMENSIONS + 1) ** -0.5).astype(np.float32)
        self._spectrum /= np.linalg.norm(self._spectrum)
        self._centres = _unit(rng.standard_normal((_TOPICS, DIMENSIONS)).astype(np.float32))
        self._vocabulary = np.array(_vocabulary(rng))
        self._common = _zipf(_VOCABULARY)
        self._own = _zipf(_TOPIC_WORDS)
        # a topic's words are of middling rarity: the commonest belong to everybody
        self._topic_words = np.stack(
            [100 + rng.choice(_VOCABULARY - 100, size=_TOPIC_WORDS, replace=False) for _ in range(_TOPICS)]
        )
        self._topics = rng.integers(_TOPICS, size=self.documents)
        by_chance = rng.permutation(self.documents)
        by_topic = np.lexsort((by_chance, rng.permutation(_TOPICS)[self._topics]))
        self._places = {"free": _places(by_chance), "tied": _places(by_topic)}

    def document(self, number: int) -> SyntheticDocument:
        """The document of that number, from 0."""
        rng = np.random.default_rng([self._seed, 1, number])
        topic = int(self._topics[number])
        topics = np.where(
            rng.random(CHUNKS_PER_DOCUMENT) < _STRAY, rng.integers(_TOPICS, size=CHUNKS_PER_DOCUMENT), topic
        )
        about = self._centres[topics] + self._noise(rng, _DOCUMENT_NOISE)
        vectors = _unit(about + np.stack([self._noise(rng, _CHUNK_NOISE) for _ in topics]))
        return SyntheticDocument(
            number, topic, tuple(self._text(rng, int(one)) for one in topics), vectors, self._metadata(number, topic)
        )

    def question(self, number: int) -> tuple[str, Vectors]:
        """Words out of a chunk taken by chance, and a vector (384,) near that chunk's."""
        rng = np.random.default_rng([self._seed, 2, number])
        document = self.document(int(rng.integers(self.documents)))
        chunk = int(rng.integers(len(document.texts)))
        words = rng.choice(document.texts[chunk].replace(".", "").lower().split(), size=rng.integers(3, 9))
        return " ".join(words), _unit(document.vectors[chunk] + self._noise(rng, _QUESTION_NOISE))

    def _metadata(self, number: int, topic: int) -> dict[str, object]:
        metadata: dict[str, object] = {"topic": f"t{topic}"}
        for kind, share in product(KINDS, SHARES):
            kept = max(1, round(SHARES[share] * self.documents))
            metadata[f"{kind}_{share}"] = "yes" if self._places[kind][number] < kept else "no"
        return metadata

    def _noise(self, rng: np.random.Generator, length: float) -> Vectors:
        return length * self._spectrum * rng.standard_normal(DIMENSIONS).astype(np.float32)

    def _text(self, rng: np.random.Generator, topic: int) -> str:
        fewest, median, most = _WORDS
        size = int(np.clip(rng.lognormal(np.log(median), 0.5), fewest, most))
        own = rng.random(size) < _OWN
        numbers = np.where(
            own,
            self._topic_words[topic][_draw(rng, self._own, size)],
            _draw(rng, self._common, size),
        )
        words = self._vocabulary[numbers].tolist()
        sentences = (" ".join(words[start : start + 14]).capitalize() for start in range(0, size, 14))
        return ". ".join(sentences) + "."


def _vocabulary(rng: np.random.Generator) -> list[str]:
    """Distinct words of two to four syllables; the short ones are the common ones."""
    made: dict[str, None] = {}
    for syllables, enough in ((2, 1500), (3, 20_000), (4, _VOCABULARY)):
        while len(made) < enough:
            for word in rng.integers(len(_SYLLABLES), size=(enough - len(made), syllables)).tolist():
                made["".join(_SYLLABLES[syllable] for syllable in word)] = None
    return list(made)


def _zipf(size: int) -> NDArray[np.float64]:
    """Cumulated shares of words by rank: 1 / (rank + 2.7), as Mandelbrot has it."""
    weights = 1 / (np.arange(1, size + 1) + 2.7)
    return np.asarray(np.cumsum(weights / weights.sum()))


def _draw(rng: np.random.Generator, cumulated: NDArray[np.float64], size: int) -> NDArray[np.int64]:
    """Ranks, from 0."""
    return np.minimum(np.searchsorted(cumulated, rng.random(size)), len(cumulated) - 1)


def _places(order: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each number stands in an order."""
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    return places


def _unit(vectors: Vectors) -> Vectors:
    """Of length 1, row by row."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)
