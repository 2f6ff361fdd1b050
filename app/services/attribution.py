"""Attribution: which spans of the passages support a sentence, and how well.

A sentence may rest on several sentences of the passages: they are picked greedily, each for the weight of the
sentence's words that it covers and the ones before it do not. The words of the question and of the headings over the
main span are the topic, which many sentences share: they draw no further span. The score is the share of the weight
that is covered in the end. Then the facts must agree: numbers with units, dates, names, negation
(`app.services.claims`). How the constants were chosen: docs/decisions/0004-attribution-first-version.md.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from app.domain.passage import Passage
from app.domain.run import Citation, Verdict
from app.domain.sentences import Sentence, split
from app.services.claims import Claim, disagreements, join_claims, plain, read_claim, read_words, spelled_out
from app.services.words import PASSAGES_KEPT, stem, tokens_of, word_set

SUPPORTED = 0.5
"""Least score of a supported sentence."""
PARTIAL = 0.3
"""Least score of a partly supported one; of sentences about something else, 99 % stay below."""
NEXT_SPAN_WORDS = 2
"""How many words a further span must add, so that a sentence is not pieced together from single words; one is enough
when the span also has a pair of the sentence's neighbouring words that no span before it has."""
MOST_SPANS = 4
OWN_SHARE = 0.1
OWN_WORDS = 2
"""How many words a sentence that keeps to its passage may have beside those that stand there in the same order: this
share of them at most, and so many."""
QUESTION_WEIGHT = 0.05
"""How much a span's likeness to the question counts: enough to choose between equals for an answer such as “Paris.”"""

_WORD = re.compile(r"\w")
_EMPHASIS = re.compile(r"[*_`]")
_ENDS = " .!?…。！？;:"
_SMALL_TALK = frozenset(
    map(
        stem,
        word_set(
            "answer ask based certainly context document excerpt feel find follow found free glad great happy hello "
            "help hi hope information know let passage provide question say sorry source summary sure text thank try "
            "welcome"
        ),
    )
)
"""Stems of which whole sentences are made that claim nothing (“Here is what I found.”)."""
_SOURCES = r"(?:passages?|excerpts?|sources|documents|(?:provided|given|available) \w+)"
_JUDGES = re.compile(r"\W*(?:yes|no|ja|nein|oui|non|s[íì]|sim|não)\b\s*[,.:;!–—-]", re.IGNORECASE)
_ABOUT_THE_SOURCES = re.compile(
    rf"\b{_SOURCES}\b.{{0,40}}?(?:\bnot\b|n['’]t\b|\bno\b).{{0,30}}?"
    r"\b(?:say|mention|contain|provide|specify|state|include|answer|cover|describe|information)"
    rf"|\bno (?:information|mention|evidence)\b.{{0,80}}\b{_SOURCES}\b"
    r"|^I (?:do not|don['’]t|cannot|can['’]t|can not|could not|couldn['’]t) (?:know|find|answer|tell|say)\b",
    re.IGNORECASE,
)
"""“The documents do not mention it.”"""


@dataclass(frozen=True, eq=False)
class _Span:
    """A sentence of a passage, in offsets into the passage's text; spans that touch have consecutive `place`s."""

    passage: int
    place: int
    start: int
    end: int
    text: str
    words: frozenset[str]

    @cached_property
    def claim(self) -> Claim:
        """All that it says; few spans are ever asked."""
        return read_claim(self.text)


class Attributor:
    """Finds the support of an answer's sentences in the passages that it was written from.

    Making one takes some milliseconds (all passages are read, but for those read lately), attributing a sentence about
    one; neither does I/O.
    """

    def __init__(self, passages: Sequence[Passage], question: str = "") -> None:
        self._passages = passages
        self._headings = [read_claim("\n".join((p.title, *p.heading_path))) for p in passages]
        self._spans: list[_Span] = []
        for i, passage in enumerate(passages):
            place = self._spans[-1].place + 2 if self._spans else 0
            self._spans += [
                _Span(i, place + j, start, end, passage.text[start:end], words)
                for j, (start, end, words) in enumerate(_read(passage.text))
            ]
        self._known = [
            heading.words.union(*(span.words for span in self._spans if span.passage == i))
            for i, heading in enumerate(self._headings)
        ]
        frequency = Counter(word for span in self._spans for word in span.words)
        self._idf = {word: math.log(1 + len(self._spans) / count) for word, count in frequency.items()}
        self._unseen_idf = math.log(1 + 2 * len(self._spans))
        self._question = read_words(question)

    def attribute(self, sentence: Sentence) -> Citation | None:
        """The sentence's main citation, not numbered yet (`index` 0); None when the sentence makes no claim."""
        citations = self.citations(sentence)
        return citations[0] if citations else None

    def citations(self, sentence: Sentence) -> tuple[Citation, ...]:
        """All spans that the sentence rests on, the main one first, with one score and verdict for all of them.

        Empty when the sentence makes no claim; one citation without a passage when nothing supports it.
        """
        claim = read_claim(sentence.text)
        if not sentence.checkable or _claims_nothing(sentence.text, claim):
            return ()
        if (verbatim := self._verbatim(sentence.text, claim)) is not None:
            return (self._citation(sentence, [verbatim], 1.0, "supported"),)
        spans = self._pick(claim)
        score, verdict = self._judge(claim, spans)
        if verdict == "unsupported":
            return (Citation(0, sentence.start, sentence.end, "", "", 0, 0, "", score, verdict),)
        return tuple(self._citation(sentence, run, score, verdict) for run in _runs(spans))

    def _verbatim(self, text: str, claim: Claim) -> _Span | None:
        """The span that says the very same, word for word; another one may cover as much and mean something else."""
        said = _bare(text)
        same = [span for span in self._spans if claim.words <= span.words and _bare(span.text) == said]
        return max(same, key=lambda span: self._worth(span, claim.words), default=None)

    def _pick(self, claim: Claim) -> list[_Span]:
        """The spans that together cover most of the claim, the one that covers most first."""
        picked: list[_Span] = []
        words, pairs = claim.words, claim.pairs
        spans = [span for span in self._spans if span.words & words]
        while spans and len(picked) < MOST_SPANS:
            best = max(spans, key=lambda span: self._worth(span, words))
            picked.append(best)
            words -= best.words | self._question | self._headings[picked[0].passage].words
            pairs -= best.claim.pairs
            spans = [span for span in spans if _adds(span, words, pairs)]
        return picked

    def _worth(self, span: _Span, wanted: frozenset[str]) -> float:
        asked = self._weight(self._question & span.words) if self._question else 0.0
        return self._weight(wanted & span.words) + QUESTION_WEIGHT * asked

    def _judge(self, claim: Claim, spans: Sequence[_Span]) -> tuple[float, Verdict]:
        """The share of the claim's weight that the spans and the headings over the main one cover, and the verdict."""
        if not spans:
            return 0.0, "unsupported"
        main = spans[0].passage
        evidence = join_claims([self._headings[main], *(span.claim for span in spans)])
        score = round(self._weight(claim.words & evidence.words) / self._weight(claim.words), 4)
        known = self._known[main] | evidence.words
        if score < PARTIAL or disagreements(claim, evidence, known) or self._invents(claim, spans):
            return score, "unsupported"
        return score, "supported" if score >= SUPPORTED else "partial"

    def _invents(self, claim: Claim, spans: Sequence[_Span]) -> bool:
        """Whether a command, a setting or a URL of the claim stands in none of the spans' passages as it is."""
        if not claim.literals:
            return False
        passages = [self._passages[i] for i in {span.passage for span in spans}]
        there = "\n".join(plain("\n".join((p.title, *p.heading_path, p.text))) for p in passages)
        return not all(literal in there for literal in claim.literals)

    def _weight(self, words: Iterable[str]) -> float:
        """The sum of inverse sentence frequencies, log(1 + N/n): IDF with a passage's sentence as the document
        (Spärck Jones, “A statistical interpretation of term specificity”, 1972), smoothed."""
        return sum(self._idf.get(word, self._unseen_idf) for word in words)

    def _citation(self, sentence: Sentence, run: Sequence[_Span], score: float, verdict: Verdict) -> Citation:
        passage = self._passages[run[0].passage]
        start, end = run[0].start, run[-1].end
        return Citation(
            index=0,
            sentence_start=sentence.start,
            sentence_end=sentence.end,
            passage_id=passage.id,
            document_id=passage.document_id,
            char_start=passage.char_start + start,
            char_end=passage.char_start + end,
            quote=passage.text[start:end],
            score=score,
            verdict=verdict,
        )


def _bare(text: str) -> str:
    return plain(_EMPHASIS.sub("", spelled_out(text))).strip(_ENDS)


def declines(text: str) -> bool:
    """Whether this sentence says that the sources do not say it, or that its writer does not know."""
    return _ABOUT_THE_SOURCES.search(text) is not None


def keeps_to(source: str, text: str) -> bool:
    """Whether the text's words, all its numbers and names among them, stand in the source in the same order, but for
    few; a longest common subsequence, in which a number or name is worth more than all words together.

    A small model puts the right words together into what no passage says; a Yes or No before them is its own judgement.
    """
    if _JUDGES.match(text) and not _JUDGES.match(source):
        return False
    words, there = (
        [(each, token.kind == "number" or token.capitalised) for _, token in tokens_of(of) for each in token.stems]
        for of in (spelled_out(text), spelled_out(source))
    )
    a_fact = len(words) + 1
    best = [0] * (len(there) + 1)
    for word, is_fact in words:
        last, row = 0, [0]
        for at, (other, _) in enumerate(there):
            same = best[at] + (a_fact if is_fact else 1) if word == other else 0
            last = max(last, best[at + 1], same)
            row.append(last)
        best = row
    facts, kept = divmod(best[-1], a_fact)
    own = len(words) - facts - kept
    return facts == sum(is_fact for _, is_fact in words) and own <= min(OWN_WORDS, OWN_SHARE * len(words))


def _claims_nothing(text: str, claim: Claim) -> bool:
    """Whether this is a question, small talk, a remark on the sources, or a lead-in without facts."""
    if text.rstrip("\"'”’)*_ ").endswith(("?", "？")) or claim.words <= _SMALL_TALK or declines(text):
        return True
    has_facts = claim.quantities or claim.calendar or claim.names
    return text.rstrip("* ").endswith((":", "：")) and not has_facts


@lru_cache(PASSAGES_KEPT)
def _read(text: str) -> tuple[tuple[int, int, frozenset[str]], ...]:
    """A passage's sentences: where each starts and ends, and its words."""
    return tuple((start, end, read_words(text[start:end])) for start, end in _sentences(text))


def _sentences(text: str) -> list[tuple[int, int]]:
    """Where the sentences start and end; marks without a word (a quotation's end) belong to what they stand behind."""
    places: list[tuple[int, int]] = []
    for sentence in split(text):
        if places and not _WORD.search(sentence.text) and "\n" not in text[places[-1][1] : sentence.start]:
            places[-1] = places[-1][0], sentence.end
        else:
            places.append((sentence.start, sentence.end))
    return places


def _adds(span: _Span, words: frozenset[str], pairs: frozenset[tuple[str, str]]) -> bool:
    """Whether a further span has enough of the words and pairs that are still to be supported."""
    added = len(words & span.words)
    return added >= NEXT_SPAN_WORDS or (added > 0 and not pairs.isdisjoint(span.claim.pairs))


def _runs(spans: Sequence[_Span]) -> list[list[_Span]]:
    """The spans, with those that follow each other in a passage put together; the run with the first span leads."""
    runs: list[list[_Span]] = []
    for span in sorted(spans, key=lambda span: span.place):
        if runs and span.place == runs[-1][-1].place + 1:
            runs[-1].append(span)
        else:
            runs.append([span])
    return sorted(runs, key=lambda run: min(spans.index(span) for span in run))
