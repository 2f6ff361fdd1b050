"""Structure chunker: sections first, then blocks, then sentences, packed where it costs least.

When it cuts otherwise than before, its version in `app.domain.index.chunker_id` goes up.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate

from app.domain.document import Chunk, ParsedDocument
from app.domain.ports import TokenCounter
from ingestion.chunking.boundaries import Boundary, Strength, find_boundaries
from ingestion.chunking.packing import pack
from ingestion.chunking.sections import Sections

_SMALL_SECTION = 0.2  # of a chunk; neighbours that small share one
_SMALL_PIECE = 0.03  # of a chunk; neighbouring words, lines and sentences that small are one: fewer places to try
_JOINING = {Strength.WORD, Strength.WRAP, Strength.SENTENCE}
_LONGEST_WORD = 32  # characters; what is longer is data, cut anywhere
_MOST_CHARACTERS_PER_TOKEN = 32  # a piece with more is cut into words without being counted first
_WORD = re.compile(r"\s*\S+(?:\s+\Z)?|\s+")

Span = tuple[int, int, int]
"""Start and end in the text, and the tokens between them."""


def chunk(document: ParsedDocument, *, max_tokens: int, count_tokens: TokenCounter) -> list[Chunk]:
    """Cut a document into chunks of at most `max_tokens` tokens (a single character may have more).

    A chunk does not cross from one section into another, unless both are small siblings, or the first is small (a bare
    heading, say) and holds the second. A block that does not fit is cut between its parts, sentences, lines or words,
    in this order of preference. Most chunks have about two thirds of the limit. They are in order, do not overlap, and
    leave out nothing but white space.
    """
    if not document.text.strip():
        return []
    sections = Sections(document)
    pieces = _Pieces(document, sections, max_tokens, count_tokens)
    spans = list(pieces.chunks())
    next_starts = [*(start for start, _, _ in spans[1:]), len(document.text)]
    return [
        Chunk(
            ordinal=ordinal,
            heading_path=sections.path(start, end),
            char_start=start,
            char_end=end,
            page=max(1, bisect_right(document.page_starts, start)) if document.page_starts else None,
            token_count=tokens,
            text=document.text[start:end],
            space_after=document.text[end:next_start],
        )
        for ordinal, ((start, end, tokens), next_start) in enumerate(zip(spans, next_starts, strict=True))
    ]


class _Pieces:
    """A text in pieces that are not to be cut, with the tokens of each and the boundary before it."""

    def __init__(
        self, document: ParsedDocument, sections: Sections, max_tokens: int, count_tokens: TokenCounter
    ) -> None:
        self._text = document.text
        self._max_tokens = max_tokens
        self._count = count_tokens
        self._boundaries: list[Boundary] = []
        counts: list[int] = []
        found = find_boundaries(document, sections.starts)
        ends = [*(boundary.offset for boundary in found[1:]), len(self._text)]
        for (start, strength), end in zip(found, ends, strict=True):
            for boundary, tokens in self._count_piece(start, end, strength):
                if counts and boundary.strength in _JOINING and max(counts[-1], tokens) < _SMALL_PIECE * max_tokens:
                    counts[-1] += tokens
                    continue
                self._boundaries.append(boundary)
                counts.append(tokens)
        self._before = [0, *accumulate(counts)]  # tokens before each piece; each is counted once, sums are estimates
        self._join_small_sections(sections)

    def chunks(self) -> Iterator[Span]:
        """The text's chunks without the white space around them."""
        strengths = [boundary.strength for boundary in self._boundaries]
        for first, last in pack(strengths, self._before, self._max_tokens):
            yield from self._fit(first, last)

    def _count_piece(self, start: int, end: int, strength: Strength) -> Iterator[tuple[Boundary, int]]:
        """A piece and its tokens; its words, when it has too many."""
        if end - start <= self._max_tokens * _MOST_CHARACTERS_PER_TOKEN:
            tokens = self._count(self._text[start:end])
            if tokens <= self._max_tokens:
                yield Boundary(start, strength), tokens
                return
        step = max(1, min(_LONGEST_WORD, self._max_tokens // 4))  # a character has 4 tokens at most
        for word in _WORD.finditer(self._text, start, end):
            length = word.end() - word.start()
            for cut in range(word.start(), word.end(), step if length > _LONGEST_WORD else length):
                stop = min(cut + step, word.end()) if length > _LONGEST_WORD else word.end()
                yield Boundary(cut, strength), self._count(self._text[cut:stop])
                strength = Strength.WORD

    def _join_small_sections(self, sections: Sections) -> None:
        """Weaken boundaries between sections that need each other: a small one and what it holds, small siblings."""
        starts = [i for i, boundary in enumerate(self._boundaries) if boundary.strength is Strength.SECTION]
        ends = [*starts[1:], len(self._boundaries)]
        largest = _SMALL_SECTION * self._max_tokens
        small = [self._before[end] - self._before[start] <= largest for start, end in zip(starts, ends, strict=True)]
        for number in range(1, len(starts)):
            above, start = starts[number - 1], starts[number]
            offset = self._boundaries[start].offset
            bare = all(boundary.strength is not Strength.HEADING for boundary in self._boundaries[above + 1 : start])
            if sections.starts_child(offset) and (small[number - 1] or (bare and number > 1)):
                self._boundaries[start] = Boundary(offset, Strength.HEADING)
            elif sections.starts_sibling(offset) and small[number - 1] and small[number]:
                self._boundaries[start] = Boundary(offset, Strength.SIBLING)

    def _fit(self, first: int, last: int) -> Iterator[Span]:
        """The span of a range, cut in the middle where its pieces together have more tokens than one by one."""
        span = self._span(first, last)
        if not span:
            return
        if span[2] > self._max_tokens and last - first > 1:
            middle = self._middle(first, last)
            yield from self._fit(first, middle)
            yield from self._fit(middle, last)
        else:
            yield from self._halve(*span)

    def _middle(self, first: int, last: int) -> int:
        """The piece nearest to the middle of a range that begins a sentence, else a line, else a word."""
        half = (self._before[first] + self._before[last]) / 2

        def suits(piece: int) -> tuple[Strength, float]:
            return min(self._boundaries[piece].strength, Strength.SENTENCE), -abs(self._before[piece] - half)

        return max(range(first + 1, last), key=suits)

    def _span(self, first: int, last: int) -> Span | None:
        """The text of a range without the white space around it; None when nothing is left."""
        start = self._boundaries[first].offset
        return self._trim(start, self._boundaries[last].offset if last < len(self._boundaries) else len(self._text))

    def _trim(self, start: int, end: int) -> Span | None:
        text = self._text[start:end]
        inner = text.strip()
        start += len(text) - len(text.lstrip())
        return (start, start + len(inner), self._count(inner)) if inner else None

    def _halve(self, start: int, end: int, tokens: int) -> Iterator[Span]:
        """A span, in halves when it is one piece that got too large by losing the space around it."""
        if tokens <= self._max_tokens or end - start < 2:
            yield start, end, tokens
            return
        middle = (start + end) // 2
        for half in (self._trim(start, middle), self._trim(middle, end)):
            if half:
                yield from self._halve(*half)
