"""Footnoting: turns a model's text into answer events, each sentence with the span that supports it."""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from app.domain.passage import Passage
from app.domain.run import Citation, RunEvent, TextDelta
from app.domain.sentences import Sentence, SentenceSplitter
from app.services.attribution import Attributor, declines, keeps_to
from app.services.citations import FootnoteNumbers

_PROMPTS_MARK = re.compile(r"[<‹]\s*/?\s*passage\b", re.IGNORECASE)
"""How the prompt marks passages; a sentence that repeats it was copied, not written."""


class Footnoting:
    """Fed with deltas, gives text and citation events; a sentence that rests on several spans has a citation for each.

    Marking (`withhold=False`): the text goes out as it comes, a sentence's citation follows its end. Withholding: a
    sentence goes out, with its citation, once it was checked and found supported or partly so; others never do. Of a
    model that is not trusted with its own words (`verbatim`), only what keeps to the words of the passages does.
    """

    def __init__(self, passages: Sequence[Passage], question: str, *, withhold: bool, verbatim: bool = False) -> None:
        self._passages = passages
        self._question = question
        self._splitter = SentenceSplitter()
        self._numbers = FootnoteNumbers()
        self._withhold = withhold
        self._verbatim = verbatim
        self._raw = ""
        self._judged = 0  # how much of `_raw` lies in sentences that were judged
        self._declines = False
        self._holds = False
        self.text = ""

    @property
    def declined(self) -> bool:
        """Whether the model said that it has no answer, and said nothing else that holds."""
        return self._declines and not self._holds

    @cached_property
    def _attributor(self) -> Attributor:
        """Made when the first sentence has ended: to read the passages takes milliseconds, and the first word waits."""
        return Attributor(self._passages, self._question)

    def feed(self, text: str) -> list[RunEvent]:
        """The events that this piece of the model's text gives rise to."""
        if not text:
            return []
        self._raw += text
        return self._events(text, self._splitter.feed(text))

    def flush(self) -> list[RunEvent]:
        """The events of what is left at the end."""
        return self._events("", self._splitter.flush())

    def _events(self, text: str, sentences: Sequence[Sentence]) -> list[RunEvent]:
        if self._withhold:
            return [event for sentence in sentences for event in self._checked(sentence)]
        self.text += text
        events: list[RunEvent] = [TextDelta(text)] if text else []
        citations = [citation for sentence in sentences for citation in self._citations(sentence)]
        return events + [self._numbers.number(citation) for citation in citations]

    def _citations(self, sentence: Sentence) -> tuple[Citation, ...]:
        citations = self._attributor.citations(sentence)
        self._declines |= not citations and declines(sentence.text)
        self._holds |= any(citation.verdict != "unsupported" for citation in citations)
        return citations

    def _checked(self, sentence: Sentence) -> list[RunEvent]:
        """The sentence and its citations, when it holds."""
        lead = _lead(self._raw[self._judged : sentence.start], first=not self.text)
        self._judged = sentence.end
        citations = self._citations(sentence)
        if not citations or citations[0].verdict == "unsupported" or _PROMPTS_MARK.search(sentence.text):
            return []
        if self._verbatim and not _says_the_same(citations, sentence):
            return []
        start = len(self.text) + len(lead)
        self.text += lead + sentence.text
        moved = [replace(c, sentence_start=start, sentence_end=len(self.text)) for c in citations]
        return [TextDelta(lead + sentence.text), *(self._numbers.number(citation) for citation in moved)]


def _says_the_same(citations: Sequence[Citation], sentence: Sentence) -> bool:
    """Whether the sentence is supported, and one place in a passage says it in the same words and order."""
    return citations[0].verdict == "supported" and any(keeps_to(each.quote, sentence.text) for each in citations)


def _lead(gap: str, *, first: bool) -> str:
    """What stands before a shown sentence: the break of the model's text, and its list marker."""
    broken = "\n" in gap
    marker = gap.rpartition("\n")[2].lstrip() if broken or first else ""
    if first:
        return marker
    return ("\n\n" if "\n\n" in gap else "\n" if broken else " ") + marker
