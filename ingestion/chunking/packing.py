"""Packing: pieces of a text joined to chunks, cut at the strongest boundaries that will do."""

from collections.abc import Sequence

from ingestion.chunking.boundaries import Strength

Range = tuple[int, int]
"""The first piece and the one after the last."""


class Packer:
    """Packs pieces greedily.

    `strengths[i]` is the boundary before piece i, `before[i]` the tokens of all pieces before it.
    """

    def __init__(self, strengths: Sequence[Strength], before: Sequence[int], max_tokens: int) -> None:
        self._strengths = strengths
        self._before = before
        self._max_tokens = max_tokens
        self._packed: list[Range] = []
        self._filling: Range | None = None

    def pack(self) -> list[Range]:
        """Ranges of at most `max_tokens`, unless a single piece has more; none crosses a section."""
        if self._strengths:
            self._place(0, len(self._strengths), Strength.SECTION)
            self._close()
        return self._packed

    def tokens(self, first: int, last: int) -> int:
        """The tokens of a range."""
        return self._before[last] - self._before[first]

    def _place(self, first: int, last: int, strength: Strength) -> None:
        """Add what is between boundaries of `strength`, and of what is too large the parts between weaker ones."""
        cuts = [i for i in range(first + 1, last) if self._strengths[i] >= strength]
        for start, end in zip([first, *cuts], [*cuts, last], strict=True):
            if strength is Strength.SECTION:
                self._close()
            if self.tokens(start, end) <= self._max_tokens or strength is Strength.WORD:
                self._add(start, end)
                continue
            # what has to be cut anyway begins a chunk of its own, rather than leave its beginning in a full one
            if self._filling and self.tokens(*self._filling) > self._max_tokens // 2:
                self._close()
            self._place(start, end, Strength(strength - 1))

    def _add(self, start: int, end: int) -> None:
        if self._filling and self.tokens(self._filling[0], end) > self._max_tokens:
            self._close()
        self._filling = (self._filling[0] if self._filling else start), end

    def _close(self) -> None:
        if self._filling:
            self._packed.append(self._filling)
        self._filling = None
