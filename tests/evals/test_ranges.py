"""Chunk coverage against values worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.metrics.ranges import Range, coverage_scores

SPAN = st.tuples(st.integers(0, 60), st.integers(1, 20)).map(lambda span: (span[0], span[0] + span[1]))


def test_halves_of_two_excerpts() -> None:
    scores = coverage_scores(
        [(10, 20), (30, 40)], [(0, 15), (35, 60)], elsewhere=10, every_chunk=[(0, 15), (15, 35), (35, 60)]
    )
    assert scores == pytest.approx(
        {"recall": 10 / 20, "precision": 10 / 50, "iou": 10 / 60, "precision_omega": 20 / 60}
    )


def test_overlapping_chunks_are_found_once_and_paid_twice() -> None:
    chunks = [(0, 10), (5, 15)]
    scores = coverage_scores([(0, 10)], chunks, elsewhere=0, every_chunk=chunks)
    assert scores == pytest.approx({"recall": 1, "precision": 10 / 20, "iou": 10 / 20, "precision_omega": 10 / 15})


def test_a_chunk_that_only_touches_an_excerpt_counts_in_omega() -> None:
    scores = coverage_scores([(15, 20)], [(0, 15)], elsewhere=0, every_chunk=[(0, 15), (15, 35)])
    assert scores == pytest.approx({"recall": 0, "precision": 0, "iou": 0, "precision_omega": 5 / 35})


def test_only_other_texts_were_found() -> None:
    scores = coverage_scores([(0, 5)], [], elsewhere=100, every_chunk=[(0, 10)])
    assert scores == pytest.approx({"recall": 0, "precision": 0, "iou": 0, "precision_omega": 5 / 10})


def test_an_excerpt_that_no_chunk_holds_lowers_omega() -> None:
    scores = coverage_scores([(0, 5), (50, 60)], [(0, 5)], elsewhere=0, every_chunk=[(0, 5)])
    assert scores == pytest.approx({"recall": 5 / 15, "precision": 1, "iou": 5 / 15, "precision_omega": 5 / 15})


@given(st.lists(SPAN, min_size=1, max_size=4), st.lists(SPAN, max_size=5), st.integers(0, 30))
def test_counting_characters_gives_the_same(excerpts: list[Range], chunks: list[Range], elsewhere: int) -> None:
    """Of excerpts that do not overlap each other; overlapping ones are each counted in full, as published."""
    apart = [span for i, span in enumerate(excerpts) if all(span[0] >= e or s >= span[1] for s, e in excerpts[:i])]
    wanted = {i for start, end in apart for i in range(start, end)}
    covered = {i for start, end in chunks for i in range(start, end)}
    size = sum(end - start for start, end in chunks) + elsewhere
    scores = coverage_scores(apart, chunks, elsewhere=elsewhere, every_chunk=chunks)
    assert scores["recall"] == pytest.approx(len(wanted & covered) / len(wanted))
    assert scores["precision"] == pytest.approx(len(wanted & covered) / size if size else 0)
    assert scores["iou"] == pytest.approx(len(wanted & covered) / (size + len(wanted - covered)))
