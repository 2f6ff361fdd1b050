"""Packing: pieces of a text joined to chunks, cut where it costs least."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from ingestion.chunking.boundaries import Strength

Range = tuple[int, int]
"""The first piece and the one after the last."""

# Chosen on chunking_evaluation (docs/decisions/0028): smaller chunks are more precise, and a cut in the middle of a
# thought costs recall. A chunk costs ((tokens - aim) / aim)², which is 1.5 for a full one and 1 for an empty one.
_AIM = 0.45  # of the largest chunk
_PRICE = {
    Strength.WORD: 6.0,
    Strength.HEADING: 4.5,
    Strength.WRAP: 3.0,
    Strength.SENTENCE: 1.05,
    Strength.PART: 0.75,
    Strength.BLOCK: 0.375,
    Strength.SIBLING: 0.15,
    Strength.SECTION: 0.0,
}


def pack(strengths: Sequence[Strength], before: Sequence[int], max_tokens: int) -> list[Range]:
    """Ranges of at most `max_tokens`, unless a single piece has more; none crosses a section.

    `strengths[i]` is the boundary before piece i, `before[i]` the tokens of all pieces before it. Of all ways to cut it
    is the one with the least sum of what its chunks cost and the prices of the boundaries between them.
    """
    sections = [i for i, strength in enumerate(strengths) if i == 0 or strength is Strength.SECTION]
    return [
        packed
        for first, last in pairwise([*sections, len(strengths)])
        for packed in _cheapest(strengths, before, max_tokens, first, last)
    ]


def _cheapest(
    strengths: Sequence[Strength], before: Sequence[int], max_tokens: int, first: int, last: int
) -> Iterator[Range]:
    """A section's ranges, by dynamic programming: the best way to cut up to each piece, from the best ways before."""
    aim = max_tokens * _AIM
    costs, starts = [0.0], [first]  # of the best way to end a chunk before piece first + i, and where that chunk starts
    for end in range(first + 1, last + 1):
        least, best = float("inf"), end - 1
        for start in range(end - 1, first - 1, -1):
            tokens = before[end] - before[start]
            if tokens > max_tokens and start < end - 1:
                break
            cost = costs[start - first] + (tokens / aim - 1) ** 2
            if start > first:
                cost += _PRICE[strengths[start]]
            if cost < least:
                least, best = cost, start
        costs.append(least)
        starts.append(best)
    found, end = list[Range](), last
    while end > first:
        found.append((starts[end - first], end))
        end = starts[end - first]
    return reversed(found)
