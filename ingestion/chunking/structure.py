"""Structure: chunks that follow a document's sections, paragraphs and sentences."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from app.domain.document import Chunk, Heading, ParsedDocument
from app.domain.ports import TokenCounter

# From coarse to fine: where a text that is too long may be cut. A cut falls after the match.
_BLOCKS = re.compile(r"\n[ \t]*\n\s*")
_SENTENCES = re.compile(r"(?<=[.!?])[\"'”’)\]]*\s+|(?<=[。！？])")
_LINES = re.compile(r"\n\s*")
_WORDS = re.compile(r"\s+")
_CUTS = (_BLOCKS, _SENTENCES, _LINES, _WORDS)
_FENCE = re.compile(r"^ {0,3}(```+|~~~+)[^\n]*\n.*?^ {0,3}\1[ \t]*$", re.MULTILINE | re.DOTALL)


def chunker_id(max_tokens: int) -> str:
    """The identity of this strategy, as an index generation stores it; the part after the slash is `max_tokens`."""
    return f"structure-v1/{max_tokens}"


@dataclass(frozen=True, slots=True)
class _Span:
    """Part of the text without white space around it, and its tokens."""

    start: int
    end: int
    tokens: int


@dataclass(frozen=True, slots=True)
class _Section:
    path: tuple[str, ...]
    start: int
    end: int


def chunk(document: ParsedDocument, *, max_tokens: int, count_tokens: TokenCounter) -> list[Chunk]:
    """Cut a document into chunks of at most `max_tokens`.

    A chunk never crosses a section and holds as many whole paragraphs as fit; a longer paragraph is cut at sentences,
    lines or words, in this order of preference. Chunks do not overlap and together hold every character that is not
    white space. A heading belongs to the chunk that it heads; one without a text of its own to the next section's.
    """
    text = document.text
    spans = _Spans(text, max_tokens, count_tokens)
    chunks: list[Chunk] = []
    for section in _sections(document):
        for span in spans.cut(section.start, section.end):
            page = bisect_right(document.page_starts, span.start) or None
            own = text[span.start : span.end]
            chunks.append(Chunk(len(chunks), section.path, span.start, span.end, page, span.tokens, own))
    return chunks


def _sections(document: ParsedDocument) -> Iterator[_Section]:
    """The text between headings, each part with the headings above it."""
    text, carried = document.text, 0
    bounds = [(0, ()), *_paths(document.headings), (len(text), ())]
    for (start, path), (end, _) in pairwise(bounds):
        first_line = text.find("\n", start, end)
        heading_only = bool(path) and (first_line < 0 or _is_underline(text[first_line:end]))
        if end < len(text) and (heading_only or not text[start:end].strip()):
            continue  # carried on to the next section
        yield _Section(path, carried, end)
        carried = end


def _paths(headings: Sequence[Heading]) -> Iterator[tuple[int, tuple[str, ...]]]:
    above: list[Heading] = []
    for heading in headings:
        above = [*(h for h in above if h.level < heading.level), heading]
        yield heading.char_start, tuple(h.title for h in above)


def _is_underline(rest: str) -> bool:
    """Whether nothing follows a title but the line under it (reStructuredText, Setext)."""
    return len(set(rest.strip())) <= 1


class _Spans:
    """Cuts parts of one text into spans that fit."""

    def __init__(self, text: str, max_tokens: int, count_tokens: TokenCounter) -> None:
        self._text = text
        self._max = max_tokens
        self._count = count_tokens

    def cut(self, start: int, end: int, cuts: Sequence[re.Pattern[str]] = _CUTS) -> list[_Span]:
        """Spans of at most the maximum that hold the text from `start` to `end`, as few as greedy packing makes."""
        span = self._span(start, end)
        if span is None:
            return []
        if span.tokens <= self._max:
            return [span]
        if not cuts:
            middle = (span.start + span.end) // 2
            return self.cut(span.start, middle, ()) + self.cut(middle, span.end, ())
        parts = _split(self._text, span.start, span.end, cuts[0])
        fitting = [fit for a, b in parts for fit in self.cut(a, b, cuts[1:])]
        return self._pack(fitting)

    def _span(self, start: int, end: int) -> _Span | None:
        """The part without white space around it; None when nothing is left."""
        own = self._text[start:end]
        lead = len(own) - len(own.lstrip())
        own = own.strip()
        return _Span(start + lead, start + lead + len(own), self._count(own)) if own else None

    def _pack(self, spans: Sequence[_Span]) -> list[_Span]:
        """Join neighbours while they fit together."""
        packed: list[_Span] = []
        for span in spans:
            # one token for the gap is an estimate, so the joined text is counted again where it is close
            if packed and packed[-1].tokens + 1 + span.tokens <= self._max:
                joined = self._span(packed[-1].start, span.end)
                if joined is not None and joined.tokens <= self._max:
                    packed[-1] = joined
                    continue
            packed.append(span)
        return packed


def _split(text: str, start: int, end: int, cut: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """The parts between cuts; a fenced code block is one block."""
    fences = [m.span() for m in _FENCE.finditer(text, start, end)] if cut is _BLOCKS else []
    at = start
    for match in cut.finditer(text, start, end):
        if not any(a < match.start() < b for a, b in fences):
            yield at, match.end()
            at = match.end()
    yield at, end
