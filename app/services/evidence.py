"""Evidence: how likely the passages that were found hold an answer, before a word is written.

A logistic regression over what retrieval knows anyway; no model is asked. How the features and the weights were found,
and what they are worth: docs/decisions/0019-refusal.md; `make bench-refusal` measures them again.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

from app.domain.passage import Passage
from app.services.words import PASSAGES_KEPT, tokens_of, word_set

READ = 6
"""So many of the best passages are read."""
_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s+|(?<=[。！？])|\n+")
_ENGLISH = word_set("the of and to in is was for that with as by are it on from be this which were")
_ENGLISH_SHARE = 0.12


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for an answer in the passages.

    Shares are of the question's words, weighted by inverse sentence frequency, log(1 + N/n).

    - `similarity`: the best passage's cosine to the question; `similarity_gap`: how far the highest stands above the
      mean of the next five.
    - `sentence`: the largest share that one sentence holds.
    - `coverage_gap`: how much more the best passage holds than those after it do on average.
    - `lexical_margin`: by how much the highest BM25 score exceeds the second.
    """

    similarity: float
    similarity_gap: float
    sentence: float
    coverage_gap: float
    lexical_margin: float


@dataclass(frozen=True, slots=True)
class Weights:
    """A logistic regression over Evidence, field by field."""

    similarity: float
    similarity_gap: float
    sentence: float
    coverage_gap: float
    lexical_margin: float
    intercept: float

    def probability(self, evidence: Evidence) -> float:
        """Of an answer, 1 / (1 + exp(-z))."""
        z = self.intercept + sum(getattr(self, each.name) * getattr(evidence, each.name) for each in fields(evidence))
        return 1 / (1 + math.exp(-z))


KNOWN_COSINES = Weights(7.778, 1.013, 3.060, 1.411, 0.039, -6.605)
"""For English text with the packaged embedder, whose cosines can be taken at their face value."""
OTHER_COSINES = Weights(0, 2.914, 3.864, 1.017, 0.088, -2.713)
"""For every other language and embedder: a cosine only counts beside the others."""


def answerable(question: str, passages: Sequence[Passage], *, packaged_embedder: bool) -> float:
    """The probability that the passages, best first, hold an answer; 0 when there are none."""
    if not passages:
        return 0.0
    known = packaged_embedder and is_english(passages[0].text)
    return (KNOWN_COSINES if known else OTHER_COSINES).probability(read_evidence(question, passages))


def unmentioned(question: str, passages: Sequence[Passage]) -> list[str]:
    """The words of the question, as they stand there, that no passage and no heading has."""
    known = _stems("\n".join("\n".join((p.title, *p.heading_path, p.text)) for p in passages))
    words = [token.text for _, token in tokens_of(question) if token.stems and known.isdisjoint(token.stems)]
    return list(dict.fromkeys(words))


def read_evidence(question: str, passages: Sequence[Passage]) -> Evidence:
    """What speaks for an answer in passages that are not empty."""
    asked = _stems(question)
    similarities = sorted((passage.similarity or 0.0 for passage in passages), reverse=True)
    lexical = sorted((passage.lexical or 0.0 for passage in passages), reverse=True)
    sentences = [_read(p.text) for p in passages[:READ]]
    headings = [_stems(" ".join((p.title, *p.heading_path))) for p in passages[:READ]]
    frequency = Counter(stem for each in sentences for sentence in each for stem in sentence & asked)
    total = sum(len(each) for each in sentences)
    weight = {stem: math.log(1 + total / (frequency[stem] or 0.5)) for stem in asked}
    whole = sum(weight.values()) or 1.0

    def share(stems: frozenset[str]) -> float:
        return sum(weight[stem] for stem in stems & asked) / whole

    held = [share(heading.union(*each)) for heading, each in zip(headings, sentences, strict=True)]
    return Evidence(
        similarity=passages[0].similarity or 0.0,
        similarity_gap=similarities[0] - _mean(similarities[1:READ]),
        sentence=max((share(sentence) for each in sentences for sentence in each), default=0.0),
        coverage_gap=held[0] - _mean(held[1:]),
        lexical_margin=lexical[0] - (lexical[1] if len(lexical) > 1 else 0.0),
    )


@lru_cache(PASSAGES_KEPT)
def _read(text: str) -> tuple[frozenset[str], ...]:
    """The stems of a passage's sentences."""
    return tuple(_stems(sentence) for sentence in _SENTENCE_END.split(text) if sentence.strip())


def _stems(text: str) -> frozenset[str]:
    return frozenset(stem for _, token in tokens_of(text) for stem in token.stems)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def is_english(text: str) -> bool:
    """Whether the commonest English words are as common as they are in English; a table of numbers is not English."""
    words = re.findall(r"\w+", text.lower())
    return sum(word in _ENGLISH for word in words) >= _ENGLISH_SHARE * len(words)
