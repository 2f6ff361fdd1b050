"""Boundaries: where a text may be cut, and how well each place suits."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple

from app.domain.document import ParsedDocument

_WRAPPED = {"text/markdown", "text/x-rst", "text/plain"}  # sources with a line end for a space; elsewhere it is meant


class Strength(IntEnum):
    """What a boundary separates; a stronger one is the better place to cut."""

    WORD = 0
    HEADING = 1  # a heading and what it heads: kept together
    WRAP = 2  # lines of a paragraph; rows below a header
    SENTENCE = 3  # sentences; rows of other tables, lines of code
    PART = 4  # items of a list, paragraphs of an indented body, a paragraph ending in a colon and what it announces
    BLOCK = 5
    SIBLING = 6  # small sections that may share a chunk
    SECTION = 7


class Boundary(NamedTuple):
    """A place to cut: before the character at `offset`."""

    offset: int
    strength: Strength


_FENCE = re.compile(r"\s{0,3}(`{3,}|~{3,})")
_ITEM = re.compile(r"(?:[-*+•◦▪]|\(?(?:\d{1,3}|#|[a-zA-Z])[.)]|:[\w -]+:|\[[\w#*]+\])\s")
_ROW = re.compile(r"\s*(?:\||\+[-=+]+\+?\s*$)")
_RULER = re.compile(r"\s*=+(?: +=+)+\s*$")
_HEADER_END = re.compile(r"\s*\|(?:[ \t]*+:?-++:?[ \t]*+\|)++\s*$")
_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1+\s*$")
_DIRECTIVE = re.compile(r"\s*\.\. (?:[\w-]+:)?([\w-]+)::")
_LITERAL_DIRECTIVES = {
    *("code", "code-block", "sourcecode", "console", "doctest", "testcode", "parsed-literal", "math", "literalinclude"),
    *("productionlist", "csv-table", "list-table", "highlight", "toctree"),
}
_SENTENCE_END = re.compile(r"(?<![.!?…])[.!?…]++[\"'”’»)\]*_`]*+(?=\s)|[。！？]++[」』”’）]*+")
_WHITE = re.compile(r"\s+")
_ABBREVIATIONS = {
    *("e.g", "i.e", "cf", "vs", "al", "fig", "figs", "eq", "eqs", "sec", "ref", "refs", "no", "nos", "vol", "pp", "p"),
    *("dr", "mr", "mrs", "ms", "prof", "st", "jr", "sr", "approx", "resp", "ca", "z.b", "d.h", "bzw", "nr", "art"),
}
_LIKE_HEADING = re.compile(r"(?:\d[\d.]*\s+|\*\*)?\w[^|\t]*[^\W_](?:[)\"”’]|\*\*)?")
_SHORT_LINE = 60  # characters
_LONGEST_ABBREVIATION = 12  # characters, a bracket or quote before it included
_TALLEST_HEADING = 4  # lines: an overline, two of title, an underline


def find_boundaries(document: ParsedDocument, section_starts: Sequence[int]) -> list[Boundary]:
    """All boundaries of a document's text but those between words, in order; the first is at 0.

    Each lies before a line that is not blank, or before the space between two sentences.
    """
    scan = _Scan(document, section_starts)
    found: dict[int, Strength] = {}
    for offset, strength in scan.boundaries():
        found[offset] = max(found.get(offset, Strength.WORD), strength)
    found[0] = Strength.SECTION
    return [Boundary(offset, found[offset]) for offset in sorted(found) if offset < len(document.text)]


class _Scan:
    """One pass over the lines of a text, block by block."""

    def __init__(self, document: ParsedDocument, section_starts: Sequence[int]) -> None:
        self._text = document.text
        self._lines = list(_lines(document.text))
        self._wrap = Strength.WRAP if document.media_type in _WRAPPED else Strength.SENTENCE
        starts = [start for start, _ in self._lines]
        self._sections = set(section_starts)
        self._headings = {bisect_left(starts, heading.char_start) for heading in document.headings}
        self._literal_indent: int | None = None  # of what announced the literal text that we are in

    def boundaries(self) -> Iterator[Boundary]:
        """Boundaries in the order of the text; of two at one place the stronger counts."""
        index, headed = 0, False
        while index < len(self._lines):
            start, line = self._lines[index]
            if start in self._sections:
                yield Boundary(start, Strength.SECTION)
            if index in self._headings:
                index += self._heading_height(index)
                headed = True
                self._literal_indent = None
            elif not line.strip():
                index += 1
            else:
                end = self._block_end(index)
                yield Boundary(start, Strength.HEADING if headed else self._before(index))
                yield from self._inside(index, end)
                index, headed = end, False

    def _heading_height(self, index: int) -> int:
        """How many lines a heading takes: more than one when it is underlined."""
        if self._line(index).lstrip().startswith("#"):
            return 1
        overlined = bool(_ADORNMENT.match(self._line(index)))
        for height in range(3 if overlined else 2, _TALLEST_HEADING + 1):
            if not self._line(index + height - 1).strip():
                break
            if _ADORNMENT.match(self._line(index + height - 1)):
                return height
        return 1

    def _block_end(self, index: int) -> int:
        """The line after a block: it ends at a blank line, a heading or a fence; a fenced one at its closing fence."""
        fence = _FENCE.match(self._line(index))
        if fence:
            closing = re.compile(r"\s{0,3}" + re.escape(fence[1]) + r"[`~]*\s*$")
            for end in range(index + 1, len(self._lines)):
                if closing.match(self._line(end)):
                    return end + 1
            return len(self._lines)
        end = index + 1
        while end < len(self._lines) and self._line(end).strip() and not self._starts_anew(end):
            end += 1
        return end

    def _starts_anew(self, index: int) -> bool:
        opens = index in self._headings or self._lines[index][0] in self._sections
        return opens or bool(_FENCE.match(self._line(index)))

    def _before(self, index: int) -> Strength:
        """A block stands apart unless it is indented, or the one above announces it: by a colon, or like a heading."""
        above = index - 1
        while above >= 0 and not self._line(above).strip():
            above -= 1
        if above < 0:
            return Strength.BLOCK
        announcing = self._line(above).rstrip()
        alone = above == 0 or not self._line(above - 1).strip()
        if alone and len(announcing) < _SHORT_LINE and _LIKE_HEADING.fullmatch(announcing):
            return Strength.HEADING
        attached = above == index - 1 or announcing.endswith(":") or _indent(self._line(index)) > 1
        return Strength.PART if attached else Strength.BLOCK

    def _inside(self, index: int, end: int) -> Iterator[Boundary]:
        first = self._line(index)
        if _FENCE.match(first):
            yield from self._code(index + 1, end)
        elif _ROW.match(first) and _HEADER_END.match(self._line(index + 1)):  # no piece of it without the header
            yield from (Boundary(start, Strength.WRAP) for start, _ in self._lines[index + 1 : end])
        elif self._is_literal(index, end) or _ROW.match(first) or _RULER.match(first):
            yield from (Boundary(start, Strength.SENTENCE) for start, _ in self._lines[index + 1 : end])
        else:
            yield from self._prose(index, end)

    def _code(self, index: int, end: int) -> Iterator[Boundary]:
        """Lines of fenced code: paragraphs of it stay whole, the fences stay with their neighbours."""
        for line in range(index, end):
            strength = Strength.SENTENCE if self._line(line - 1).strip() else Strength.PART
            yield Boundary(self._lines[line][0], Strength.WRAP if line in {index, end - 1} else strength)

    def _is_literal(self, index: int, end: int) -> bool:
        """Whether a block is code in reStructuredText; remembers what it announces."""
        first, indent = self._line(index), _indent(self._line(index))
        if self._literal_indent is not None and indent > self._literal_indent:
            return True
        self._literal_indent = None
        directive = _DIRECTIVE.match(first)
        if directive and directive[1] in _LITERAL_DIRECTIVES:
            self._literal_indent = indent
            return True
        if not directive and self._line(end - 1).rstrip().endswith("::"):
            self._literal_indent = _indent(self._line(end - 1))
        return first.lstrip().startswith(">>> ")

    def _prose(self, index: int, end: int) -> Iterator[Boundary]:
        for start, line in self._lines[index + 1 : end]:
            if _ITEM.match(line.lstrip()):
                yield Boundary(start, Strength.SENTENCE if _indent(line) > 1 else Strength.PART)
            else:
                yield Boundary(start, self._wrap)
        stop = self._lines[end][0] if end < len(self._lines) else len(self._text)
        yield from (Boundary(at, Strength.SENTENCE) for at in find_sentences(self._text, self._lines[index][0], stop))

    def _line(self, index: int) -> str:
        return self._lines[index][1] if index < len(self._lines) else ""


def find_sentences(text: str, start: int, end: int) -> Iterator[int]:
    """Where sentences of `text[start:end]` begin, but the first: before their space, after it if it is a line end."""
    for match in _SENTENCE_END.finditer(text, start, end):
        following = _WHITE.match(text, match.end(), end)
        after = following.end() if following else match.end()
        if after >= end or text[after].islower() or _is_abbreviation(text, start, match):
            continue
        yield after if "\n" in text[match.end() : after] else match.end()


def _is_abbreviation(text: str, start: int, end: re.Match[str]) -> bool:
    """Whether the full stop belongs to the word before it: `Fig. 3`, `J. Smith`, `1. Wash`."""
    if end[0] != ".":
        return False
    reach = max(start, end.start() - _LONGEST_ABBREVIATION)
    word_start = max(text.rfind(" ", reach, end.start()), text.rfind("\n", reach, end.start()), reach - 1) + 1
    word = text[word_start : end.start()].lstrip("([\"'“‘*_")
    initial = len(word) == 1 and word.isalpha() and word.isupper()
    numbered = word.isdecimal() and len(word) < 3 and not text[start:word_start].strip()
    return initial or numbered or word.lower() in _ABBREVIATIONS


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Each line with the offset at which it starts."""
    start = 0
    for line in text.split("\n"):
        yield start, line
        start += len(line) + 1


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
