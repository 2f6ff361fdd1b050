"""Footnoting: turns a model's text into answer events, each sentence with the span that supports it."""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from app.domain.passage import Passage
from app.domain.run import Citation, RunEvent, TextDelta
from app.domain.sentences import Sentence, SentenceSplitter, is_whole
from app.services.attribution import Attributor, declines, keeps_to
from app.services.citations import FootnoteNumbers
from app.services.claims import plain

_PROMPTS_MARK = re.compile(r"[<‹]\s*/?\s*passage\b", re.IGNORECASE)
"""How the prompt marks passages; a sentence that repeats it was copied, not written."""
_MARKS = re.compile(r"[ \t]*\[\^?\d{1,3}\]|[*_`]")
_WORD = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]|[^\s\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]+")
"""A word; in scripts without spaces, a character stands for one."""
_MAY_BE_REPEATED = 2
"""Sentences of so many words may stand in several places of an answer (“Free.”)."""
LOOP = 3
"""A model that repeats so many sentences with no new one among them says nothing new any more."""


class Footnoting:
    """Fed with deltas, gives text and citation events; a sentence that rests on several spans has a citation for each.

    Marking (`withhold=False`): the text goes out as it comes, a sentence's citation follows its end. Withholding: a
    sentence goes out, with its citation, once it was checked and found supported or partly so; others never do, nor
    does one a second time. Of a model that is not trusted with its own words (`verbatim`), only what keeps to the words
    of the passages does.
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
        self._said: set[str] = set()
        self._repeated = 0  # sentences since the last new one
        self.text = ""

    @property
    def declined(self) -> bool:
        """Whether the model said that it has no answer, and said nothing else that holds."""
        return self._declines and not self._holds

    @property
    def loops(self) -> bool:
        """Whether, withholding, so much was repeated that nothing of what follows is shown."""
        return self._repeated >= LOOP

    @property
    def written(self) -> str:
        """What the model has written so far."""
        return self._raw

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

    def flush(self, *, cut_off: bool = False) -> list[RunEvent]:
        """The events of what is left at the end. Where the model was `cut_off` in the middle of a sentence, withholding
        shows that one only if it shows nothing else."""
        left = self._splitter.flush()
        if not (self._withhold and cut_off and left) or is_whole(left[-1].text) or "\n" in self._raw[left[-1].end :]:
            return self._events("", left)
        events = self._events("", left[:-1])
        return events if self.text else events + self._events("", left[-1:])

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
        """The sentence and its citations, when it holds and is new."""
        if self.loops:
            return []
        lead = _lead(self._raw[self._judged : sentence.start], first=not self.text)
        self._judged = sentence.end
        if self._repeats(sentence):
            return []
        citations = self._citations(sentence)
        if not citations or citations[0].verdict == "unsupported" or _PROMPTS_MARK.search(sentence.text):
            return []
        if self._verbatim and not _says_the_same(citations, sentence):
            return []
        start = len(self.text) + len(lead)
        self.text += lead + sentence.text
        moved = [replace(c, sentence_start=start, sentence_end=len(self.text)) for c in citations]
        return [TextDelta(lead + sentence.text), *(self._numbers.number(citation) for citation in moved)]

    def _repeats(self, sentence: Sentence) -> bool:
        """Whether the model has said this already, case, emphasis and the marks at its end aside; notes it."""
        said = plain(_MARKS.sub("", sentence.text)).rstrip(".!?…。！？;:,")
        if not sentence.checkable or len(_WORD.findall(said)) <= _MAY_BE_REPEATED:
            return False
        again = said in self._said
        self._said.add(said)
        self._repeated = self._repeated + 1 if again else 0
        return again


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
