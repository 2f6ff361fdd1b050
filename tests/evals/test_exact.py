"""Recall against exact search, on vectors whose order is known."""

import numpy as np
import pytest

from app.domain.passage import Passage
from app.storage.exact import ExactVectors
from evals.exact import search_exactly
from evals.runner import Found

ANGLES = np.linspace(0, 1, 12)  # chunk 0 is nearest to the query, chunk 11 farthest
STORED = ExactVectors(
    tuple(f"c{i}" for i in range(12)),
    tuple(f"beir:d{i // 2}" for i in range(12)),
    np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1).astype(np.float16),
)
QUERY = {"q": np.array([1, 0], np.float32)}


def found(*chunks: int) -> dict[str, Found]:
    passages = (Passage(f"c{i}", "", "", "", STORED.uris[i], (), None, 0, 1, "x", 1.0) for i in chunks)
    return {"q": Found(tuple(passages), 1.0)}


@pytest.mark.parametrize(
    ("chunks", "recall"),
    [(range(10), 1.0), (range(9, -1, -1), 1.0), ([*range(9), 11], 0.9), ([10, 11], 0.0), ([], 0.0)],
)
def test_the_share_of_the_exact_ten_that_was_found(chunks: list[int], recall: float) -> None:
    exact = search_exactly(STORED, QUERY, found(*chunks))
    assert exact.recall == {"q": pytest.approx(recall)}
    assert exact.documents == {"q": [f"d{i}" for i in range(6)]}


def test_a_chunk_as_near_as_the_tenth_is_as_good() -> None:
    matrix = STORED.matrix.copy()
    matrix[10] = matrix[9]
    stored = ExactVectors(STORED.chunk_ids, STORED.uris, matrix)
    assert search_exactly(stored, QUERY, found(*range(9), 10)).recall == {"q": 1.0}
