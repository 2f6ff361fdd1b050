"""Continuation: an answer that is written a second time, told to clients that have seen its beginning."""

from app.domain.run import (
    Citation,
    RetrievalCompleted,
    RunEvent,
    TextDelta,
    TextRewind,
    Usage,
)
from app.services.outcome import AnswerSoFar


class Continuation:
    """Turns the events of the second writing into those that clients still need.

    As long as it says what they have, nothing is sent; where it differs, `text.rewind` takes them back to that place.
    Whatever the first writing was: what clients hold in the end is what the second one alone would have given them.
    """

    def __init__(self, shown: AnswerSoFar) -> None:
        """`shown` is what clients have; it is not changed."""
        self._shown_text = shown.text
        self._unconfirmed = list(shown.citations)
        self._passages = shown.passages if shown.retrieved else None
        self._usage = shown.usage
        self._text = ""
        self._citations: list[Citation] = []

    def feed(self, event: RunEvent) -> list[RunEvent]:
        """What this event of the second writing means for clients."""
        match event:
            case RetrievalCompleted(passages):
                return self._retrieved(event, same=passages == self._passages)
            case TextDelta(text):
                return self._said(text)
            case Citation():
                return self._cited(event)
            case Usage():
                known, self._usage = self._usage == event, event
                return [*self.finish(), *([] if known else [event])]
            case _:
                return [*self.finish(), event]

    def finish(self) -> list[RunEvent]:
        """Take back what clients have beyond the second writing's end."""
        if self._unconfirmed:
            return self._rewind(self._unconfirmed[0].sentence_start)
        if len(self._shown_text) > len(self._text):
            return self._rewind(len(self._text))
        return []

    def _retrieved(self, event: RetrievalCompleted, *, same: bool) -> list[RunEvent]:
        if same:
            return []
        # what was said rests on other passages
        taken_back = self._rewind(0) if self._shown_text or self._unconfirmed else []
        self._passages = event.passages
        return [*taken_back, event]

    def _said(self, text: str) -> list[RunEvent]:
        self._text += text
        if self._shown_text.startswith(self._text):
            return []
        if self._text.startswith(self._shown_text):
            more, self._shown_text = self._text[len(self._shown_text) :], self._text
            return [TextDelta(more)]
        return self._rewind(_common(self._text, self._shown_text))

    def _cited(self, citation: Citation) -> list[RunEvent]:
        self._citations.append(citation)
        if not self._unconfirmed:
            return [citation]
        if self._unconfirmed[0] == citation:
            del self._unconfirmed[0]
            return []
        return self._rewind(min(citation.sentence_start, self._unconfirmed[0].sentence_start))

    def _rewind(self, to: int) -> list[RunEvent]:
        """Take clients back to `to`, and from there to where the second writing stands."""
        to = min(to, len(self._text))
        self._shown_text = self._text
        # those before that place are still to be confirmed: they come after their sentence's text
        self._unconfirmed = [citation for citation in self._unconfirmed if citation.sentence_end <= to]
        again: list[RunEvent] = [TextRewind(to)]
        if self._text[to:]:
            again.append(TextDelta(self._text[to:]))
        return [*again, *(citation for citation in self._citations if citation.sentence_end > to)]


def _common(one: str, other: str) -> int:
    """How many characters both begin with."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
