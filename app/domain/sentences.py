"""Sentences of a text, also of one that is still being written: given out as they become complete."""

import re
from contextlib import suppress
from dataclasses import dataclass

from app.domain.abbreviations import goes_on_after, may_go_on_after

STOPS = ".!?…。！？｡"
_STOP = re.compile(rf"[{STOPS}]+|\n")
_WIDE_STOPS = frozenset("。！？｡")
NOTE_MARK = r"[\[［]\^?\d{1,3}[\]］]|【\d{1,3}(?::\d{1,3})?(?:†[^【】\n]{0,60})?】"
"""A model's own mark of a source: [1], [^1], 【1】, 【4:0†source】."""
NOTE_MARKS = r"\[\^?\d{1,3}(?: ?[,;–-] ?\^?\d{1,3})+\]"
"""Marks of several in one: [1, 2], [1-3]. Within a sentence that may be an interval, behind its stop it is none."""
_TAIL = re.compile(rf"(?:[\"'”’»›)\]}}*_`」』）】》〉]|[ \t]?(?:{NOTE_MARK}|{NOTE_MARKS}))*")
"""What still belongs to a sentence after its stop: closing quotes, brackets, emphasis, the model's own marks."""
_HALF_A_TAIL = re.compile(r"[ \t]?(?:[\[［][\d ^,;–-]*|【[\d:]*(?:†[^【】\n]{0,60})?)?\Z")
_NEVER_FIRST = frozenset(",;:)]}%&/=")
_WORD = re.compile(r"[^\W\d_]+")
_SPACE = re.compile(r"\s*")

_FENCE = re.compile(r"`{3,}(?!.*`)|~{3,}")
_HEADING = re.compile(r"#{1,6}[ \t]+(?=\S)")
_BOLD_LINE = re.compile(r"\*\*[^*\n]*[^*\n.!?。！？]\*\*:?[ \t\r]*(?=\n|\Z)")
_HALF_A_BOLD_LINE = re.compile(r"\*\*[^*\n]*\*{0,2}:?[ \t\r]*\Z")
_RULE = re.compile(r"([=~^_*+-])\1{2,}(?=\s|\Z)")
_MARKER = re.compile(r"(?:[-*+•‣#]|#{2,6}|>+|\(?\d{1,3}[.)])(?=\s|\Z)|" + _RULE.pattern)
_BLOCK_START = re.compile(r"`{3}|~{3}|\||" + _MARKER.pattern)
_TABLE_RULE = re.compile(r"[|:\s-]*\Z")
_CLEAR_LINE = re.compile(r"(?!(\S)\1{11})\S{12}|\S+\s")
"""Enough of a line to tell its kind: its first word, or more characters than any marker but a rule has."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, list item, table row, heading or code block: `answer[start:end] == text`, in code points.

    List markers, heading marks and the white space around it are not part of it. `checkable` is False for what states
    nothing that a passage could support: code, headings, the head and the rules of a table.
    """

    start: int
    end: int
    text: str
    checkable: bool = True


class _MoreNeeded(Exception):
    """The text that has come so far does not decide where the sentence ends."""


class SentenceSplitter:
    """Cuts a text that arrives in pieces into sentences; a sentence is given out once its end is certain.

    What comes out does not depend on how the text was cut into pieces. After a rewind to the end of a sentence, make
    a new splitter with that `offset` (code points).
    """

    def __init__(self, offset: int = 0) -> None:
        self._offset = offset  # where `_text` starts in the answer
        self._text = ""
        self._final = False
        self._after_row = False

    def feed(self, text: str) -> list[Sentence]:
        """Take more text; return the sentences that are complete now."""
        self._text += text
        return self._take()

    def flush(self) -> list[Sentence]:
        """The text has ended; return what is left of it."""
        self._final = True
        return self._take()

    def _take(self) -> list[Sentence]:
        sentences: list[Sentence] = []
        done = 0
        with suppress(_MoreNeeded):
            while (found := self._next(done)) is not None:
                start, done, checkable = found
                sentences.append(Sentence(self._offset + start, self._offset + done, self._text[start:done], checkable))
        self._offset += done
        self._text = self._text[done:]
        return sentences

    def _next(self, done: int) -> tuple[int, int, bool] | None:
        """Start, end and checkability of what follows `done`; None when only white space and markers do."""
        start = self._skip_space(done)
        line_start = self._offset + done == 0 or "\n" in self._text[done:start]
        after_row = self._after_row and self._text.count("\n", done, start) == 1
        while line_start and start < len(self._text):
            self._require_clear_line(start)
            if (block := self._block(start, after_row=after_row)) is not None:
                return block
            if (marker := _MARKER.match(self._text, start)) is None:
                break
            start = self._skip_space(marker.end())
        if start == len(self._text):
            return None
        end, checkable = self._prose_end(start)
        self._after_row = False
        return start, end, checkable

    def _block(self, start: int, *, after_row: bool) -> tuple[int, int, bool] | None:
        """The code block, heading or table row that starts a line here, if one does."""
        if self._text.startswith(("```", "~~~"), start):
            self._line_end(start)
            if (fence := _FENCE.match(self._text, start)) is not None:
                return start, self._fence_end(fence), False
        if (heading := _HEADING.match(self._text, start)) is not None:
            return heading.end(), self._line_end(heading.end()), False
        if self._is_bold_line(start):
            return start, self._line_end(start), False
        if self._text[start] == "|":
            end = self._line_end(start)
            self._after_row = True  # a table's first row is its head
            return start, end, after_row and not _TABLE_RULE.match(self._text, start, end)
        return None

    def _fence_end(self, fence: re.Match[str]) -> int:
        """The end of a code block: its closing fence, or the end of the text."""
        line_end = r"(?=\n|\Z)" if self._final else r"(?=\n)"
        closing = re.compile(rf"\n[ \t]*{fence[0]}{fence[0][0]}*[ \t\r]*{line_end}").search(self._text, fence.end())
        if closing is not None:
            return len(self._text[: closing.end()].rstrip())
        self._require(len(self._text))
        return len(self._text.rstrip())

    def _is_bold_line(self, start: int) -> bool:
        """Whether a line that is all bold, as headings are often written, starts here."""
        if not self._final and _HALF_A_BOLD_LINE.match(self._text, start):
            raise _MoreNeeded
        return _BOLD_LINE.match(self._text, start) is not None

    def _line_end(self, start: int) -> int:
        end = self._text.find("\n", start)
        if end < 0:
            self._require(end := len(self._text))
        return len(self._text[:end].rstrip())

    def _prose_end(self, start: int) -> tuple[int, bool]:
        """Where the sentence that starts here ends, and whether it is more than a heading."""
        text = self._text
        for stop in _STOP.finditer(text, start):
            if stop[0] != "\n":
                end = self._end_after(stop, start)
                if end is not None:
                    return end, True
            elif self._paragraph_ends(stop.start()):
                return len(text[: stop.start()].rstrip()), not self._underlined(stop.start())
        self._require(len(text))
        return len(text.rstrip()), True

    def _paragraph_ends(self, newline: int) -> bool:
        """Whether a blank line, a list item, a heading, a table, code or nothing follows this line break."""
        following = self._skip_space(newline)
        if self._text.count("\n", newline, following) > 1:
            return True
        self._require(following)
        if following == len(self._text):
            return True
        self._require_clear_line(following)
        return _BLOCK_START.match(self._text, following) is not None or self._is_bold_line(following)

    def _underlined(self, newline: int) -> bool:
        """Whether the line that ends here is a heading by the rule under it."""
        following = self._skip_space(newline)
        return self._text.count("\n", newline, following) == 1 and _RULE.match(self._text, following) is not None

    def _end_after(self, stop: re.Match[str], start: int) -> int | None:
        """The sentence's end when these full stops end it."""
        text = self._text
        tail = _TAIL.match(text, stop.end())
        end = tail.end() if tail else stop.end()
        if not self._final and _HALF_A_TAIL.match(text, end):
            raise _MoreNeeded
        if end == len(text) or _WIDE_STOPS.intersection(stop[0]):
            return end
        if not text[end].isspace():
            return None  # a decimal, a version, a URL, a file name
        following = self._skip_space(end)
        self._require(following)
        if following == len(text):
            return end
        first = text[following]
        if first.islower() or first in _NEVER_FIRST:
            return None
        return None if stop[0] == "." and self._abbreviates(stop.start(), start, following) else end

    def _abbreviates(self, stop: int, start: int, following: int) -> bool:
        """Whether the full stop at `stop` only shortens the word before it, or makes a number an ordinal."""
        before = self._text[start:stop]
        if not may_go_on_after(before):
            return False
        word = self._word_at(following)
        return goes_on_after(
            before,
            word,
            digit=self._text[following].isdigit(),
            stop=self._text.startswith(".", following + len(word)),
        )

    def _word_at(self, start: int) -> str:
        """The whole word that starts here; empty when there is none."""
        word = _WORD.match(self._text, start)
        self._require(word.end() if word else start)
        return word[0] if word else ""

    def _skip_space(self, start: int) -> int:
        space = _SPACE.match(self._text, start)
        return space.end() if space else start

    def _require(self, position: int) -> None:
        """Raise _MoreNeeded when the character at `position` is still to come."""
        if position >= len(self._text) and not self._final:
            raise _MoreNeeded

    def _require_clear_line(self, start: int) -> None:
        """Raise _MoreNeeded when the kind of the line that starts here is not clear yet."""
        if not self._final and not _CLEAR_LINE.match(self._text, start):
            raise _MoreNeeded


def split(text: str) -> list[Sentence]:
    """The sentences of a whole text, with offsets into it (code points)."""
    splitter = SentenceSplitter()
    return splitter.feed(text) + splitter.flush()


def is_whole(sentence: str) -> bool:
    """Whether it ends with a full stop, or the like, that no text behind it could take back."""
    stops = list(_STOP.finditer(sentence))
    if not stops:
        return False
    tail = _TAIL.match(sentence, stops[-1].end())
    at_its_end = tail is not None and tail.end() == len(sentence)
    return at_its_end and not (stops[-1][0] == "." and may_go_on_after(sentence[: stops[-1].start()]))
