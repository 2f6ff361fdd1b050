"""Evidence: how likely the passages that were found hold an answer, before a word is written.

A logistic regression over what retrieval knows anyway; where that is not sure, another one that also compares the
question with the best passages token by token. No language model is asked. How the features and the weights were
found, and what they are worth: docs/decisions/0019-refusal.md; `make bench-refusal` measures them again.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np

from app.domain.passage import Passage
from app.domain.ports import TokenMatcher, Vectors
from app.services.words import PASSAGES_KEPT, tokens_of, word_set

READ = 6
"""So many of the best passages are read."""
READ_CLOSELY = 3
"""So many are compared token by token."""
SURE = 0.5
"""From this probability on, a close look would hardly ever change the decision, and is spared."""
_FARTHEST = 3  # tokens of a question
_LONG_WORD = re.compile(r"[^\W\d_]{6,}")
_BEGINNING = 6  # letters of a word
_HEADING_MARKS = " \t#=*-~^_"
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
    - `beginnings`: the largest share of the question's long words, all alike, that one passage holds in any form: with
      their first six letters, be it within another word (“kündige”, “Kündigungsfrist”).

    A close look adds how near a passage's nearest token is to each token of the question: `closeness`, the mean over
    all of them, and `farthest`, the mean over the three that are least near, each of the passage where it is highest.
    """

    similarity: float
    similarity_gap: float
    sentence: float
    coverage_gap: float
    lexical_margin: float
    beginnings: float = 0.0
    closeness: float = 0.0
    farthest: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A logistic regression over Evidence, field by field."""

    similarity: float = 0.0
    similarity_gap: float = 0.0
    sentence: float = 0.0
    coverage_gap: float = 0.0
    lexical_margin: float = 0.0
    beginnings: float = 0.0
    closeness: float = 0.0
    farthest: float = 0.0
    intercept: float

    def probability(self, evidence: Evidence) -> float:
        """Of an answer, 1 / (1 + exp(-z))."""
        z = self.intercept + sum(getattr(self, each.name) * getattr(evidence, each.name) for each in fields(evidence))
        return 1 / (1 + math.exp(-z))


KNOWN_COSINES = Weights(
    similarity=7.778, similarity_gap=1.013, sentence=3.060, coverage_gap=1.411, lexical_margin=0.039, intercept=-6.605
)
"""For English text with the packaged embedder, whose cosines can be taken at their face value."""
CLOSE_LOOK = Weights(
    similarity=1.565, similarity_gap=3.126, coverage_gap=1.821, closeness=9.626, farthest=2.580, intercept=-9.069
)
"""The same, with the question's tokens compared."""
OTHER_LANGUAGES = Weights(
    similarity=3.277,
    similarity_gap=7.457,
    sentence=7.030,
    coverage_gap=3.892,
    lexical_margin=0.237,
    beginnings=1.635,
    intercept=-6.104,
)
"""For text that is not English, with the packaged embedder."""
OTHER_COSINES = Weights(
    similarity_gap=2.914, sentence=3.864, coverage_gap=1.017, lexical_margin=0.088, intercept=-2.713
)
"""For every other embedder: a cosine only counts beside the others."""


class EvidenceGate:
    """Decides whether a question is worth an answer from what was found.

    It opens when the probability of an answer is `least` or more. `tokens`: the packaged embedder, on which the
    probability was calibrated; None for any other.
    """

    def __init__(self, least: float, tokens: TokenMatcher | None) -> None:
        self._least = least
        self._tokens = tokens

    async def opens(self, question: str, passages: Sequence[Passage]) -> bool:
        """Whether the passages, best first, are likely to hold an answer; never without passages."""
        if not passages or self._least <= 0:
            return bool(passages)
        evidence = read_evidence(question, passages)
        if self._tokens is None:
            return OTHER_COSINES.probability(evidence) >= self._least
        if not in_english(passages):
            return OTHER_LANGUAGES.probability(evidence) >= self._least
        quick = KNOWN_COSINES.probability(evidence)
        if quick >= max(SURE, self._least):
            return True
        nearest = await self._tokens.nearest_tokens(question, bodies(passages))
        return CLOSE_LOOK.probability(looked_closely(evidence, nearest)) >= self._least


def bodies(passages: Sequence[Passage]) -> list[str]:
    """What is compared token by token: the best passages without their headings, which name a subject and say nothing.

    A passage of headings alone stays as it is.
    """
    return [_body(passage) or passage.text for passage in passages[:READ_CLOSELY]]


def _body(passage: Passage) -> str:
    headings = {"", passage.title, *passage.heading_path}
    return "\n".join(line for line in passage.text.splitlines() if line.strip(_HEADING_MARKS) not in headings)


def looked_closely(evidence: Evidence, nearest: Sequence[Vectors]) -> Evidence:
    """The evidence with what `TokenMatcher.nearest_tokens` says of the best passages."""
    return replace(
        evidence,
        closeness=max(float(each.mean()) for each in nearest),
        farthest=max(float(np.sort(each)[:_FARTHEST].mean()) for each in nearest),
    )


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
        beginnings=_beginnings(question, passages[:READ]),
    )


def _beginnings(question: str, passages: Sequence[Passage]) -> float:
    asked = {word[:_BEGINNING] for word in _LONG_WORD.findall(question.lower())}
    texts = [passage.text.lower() for passage in passages]
    return max(sum(word in text for word in asked) for text in texts) / max(len(asked), 1)


@lru_cache(PASSAGES_KEPT)
def _read(text: str) -> tuple[frozenset[str], ...]:
    """The stems of a passage's sentences."""
    return tuple(_stems(sentence) for sentence in _SENTENCE_END.split(text) if sentence.strip())


def _stems(text: str) -> frozenset[str]:
    return frozenset(stem for _, token in tokens_of(text) for stem in token.stems)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def in_english(passages: Sequence[Passage]) -> bool:
    """Whether the commonest English words are as common as they are in English; tables and lists have few of them."""
    counts = [_count_english(passage.text) for passage in passages]
    return sum(english for english, _ in counts) >= _ENGLISH_SHARE * sum(words for _, words in counts)


@lru_cache(PASSAGES_KEPT)
def _count_english(text: str) -> tuple[int, int]:
    """How many of the words are among the commonest English ones, and how many there are."""
    words = re.findall(r"\w+", text.lower())
    return sum(word in _ENGLISH for word in words), len(words)
