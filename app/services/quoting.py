"""Quoting: the passages' own words, where a model's could not be verified."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import log

from app.domain.passage import Passage
from app.domain.run import Citation, RunEvent, TextDelta
from app.domain.sentences import split
from app.services.claims import read_words

INTRODUCTION = "In the words of the documents:"
QUOTES = 2
WORTH = 0.5  # a further quote must cover this share of what the best one covers of the question
PRIOR = 0.1  # of the passage's rank: decides between sentences that share equally much with the question


@dataclass(frozen=True, slots=True)
class _Quote:
    passage: Passage
    start: int
    end: int
    worth: float

    @property
    def text(self) -> str:
        return self.passage.text[self.start : self.end]


def quote_passages(passages: Sequence[Passage], question: str) -> list[RunEvent]:
    """An answer that quotes the sentences nearest to the question, says that it does, and cites each.

    `passages` come best first and are not empty. A sentence's worth is the share of the question's words, weighted by
    inverse sentence frequency, that it or its heading path holds.
    """
    quotes = _best(passages, question)
    events: list[RunEvent] = [TextDelta(INTRODUCTION)]
    at = len(INTRODUCTION)
    for index, quote in enumerate(quotes, start=1):
        line = f"\n\n“{' '.join(quote.text.split())}”"
        passage = quote.passage
        events.append(TextDelta(line))
        events.append(
            Citation(
                index=index,
                sentence_start=at + 2,
                sentence_end=at + len(line),
                passage_id=passage.id,
                document_id=passage.document_id,
                char_start=passage.char_start + quote.start,
                char_end=passage.char_start + quote.end,
                quote=quote.text,
                score=1.0,
                verdict="supported",
            )
        )
        at += len(line)
    return events


def _best(passages: Sequence[Passage], question: str) -> list[_Quote]:
    sentences = [(rank, passage, s) for rank, passage in enumerate(passages) for s in split(passage.text)]
    checkable = [(rank, passage, s) for rank, passage, s in sentences if s.checkable] or sentences
    words = [read_words(" ".join((s.text, *passage.heading_path))) for _, passage, s in checkable]
    frequency = Counter(word for found in words for word in found)
    asked = read_words(question)
    # log(1 + (N - n + .5) / (n + .5)), as in BM25 (Robertson, Zaragoza: The Probabilistic Relevance Framework, 2009)
    weight = {word: log(1 + (len(words) - frequency[word] + 0.5) / (frequency[word] + 0.5)) for word in asked}
    total = sum(weight.values()) or 1.0
    quotes = [
        _Quote(passage, s.start, s.end, sum(weight[w] for w in asked & found) / total + PRIOR / (1 + rank))
        for (rank, passage, s), found in zip(checkable, words, strict=True)
    ]
    quotes.sort(key=lambda quote: -quote.worth)
    return [quote for quote in quotes[:QUOTES] if quote.worth >= WORTH * quotes[0].worth]
