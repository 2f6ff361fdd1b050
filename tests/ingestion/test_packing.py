"""Packing: of all ways to cut, the cheapest, within sections and sizes."""

from itertools import accumulate, combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from ingestion.chunking.boundaries import Strength
from ingestion.chunking.packing import _AIM, _PRICE, pack

MAX_TOKENS = 100
PIECES = st.lists(st.tuples(st.sampled_from(Strength), st.integers(1, 130)), max_size=11)
Cuts = tuple[int, ...]


def cost(cuts: Cuts, strengths: list[Strength], before: list[int]) -> float:
    """What chunks between these cuts cost, with the prices of the cuts."""
    aim = MAX_TOKENS * _AIM
    chunks = sum(((before[end] - before[start]) / aim - 1) ** 2 for start, end in pairwise(cuts))
    return chunks + sum(_PRICE[strengths[cut]] for cut in cuts[1:-1])


def allowed(cuts: Cuts, before: list[int], sections: set[int]) -> bool:
    """Whether no chunk is too large or crosses into another section."""
    fits = all(before[end] - before[start] <= MAX_TOKENS or end == start + 1 for start, end in pairwise(cuts))
    return fits and sections <= set(cuts)


@given(PIECES)
def test_it_is_the_cheapest_of_all_ways(pieces: list[tuple[Strength, int]]) -> None:
    strengths = [strength for strength, _ in pieces]
    before = [0, *accumulate(tokens for _, tokens in pieces)]
    packed = pack(strengths, before, MAX_TOKENS)
    assert [start for start, _ in packed] == [0, *(end for _, end in packed[:-1])] if pieces else not packed
    if not pieces:
        return
    last = len(pieces)
    inner = range(1, last)
    sections = {i for i in inner if strengths[i] is Strength.SECTION}
    every = ((0, *cuts, last) for size in range(last) for cuts in combinations(inner, size))
    least = min(cost(cuts, strengths, before) for cuts in every if allowed(cuts, before, sections))
    found = (0, *(end for _, end in packed))
    assert allowed(found, before, sections)
    assert abs(cost(found, strengths, before) - least) < 1e-9


def test_what_is_stronger_is_cut_first() -> None:
    sentences, blocks = Strength.SENTENCE, Strength.BLOCK
    assert pack([blocks, sentences, blocks, sentences], [0, 30, 60, 90, 120], MAX_TOKENS) == [(0, 2), (2, 4)]


def test_a_list_that_fits_stays_whole() -> None:
    items = [Strength.BLOCK, *[Strength.PART] * 3]
    assert pack(items, [0, 20, 40, 60, 80], MAX_TOKENS) == [(0, 4)]
