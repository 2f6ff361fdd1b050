"""Ranking measures against values worked out by hand."""

from math import log2

import pytest

from evals.metrics.ranking import MEASURES, rank_scores

QRELS = {
    "second and fourth": {"a": 1, "b": 1},
    "graded, swapped": {"c": 2, "d": 1, "x": 0},
    "nothing found": {"e": 1},
    "eleventh": {"f": 1},
}
RANKINGS = {
    "second and fourth": ["x", "a", "y", "b"],
    "graded, swapped": ["d", "c"],
    "nothing found": [],
    "eleventh": [*(f"x{i}" for i in range(10)), "f"],
}
EXPECTED = {
    "second and fourth": {
        "ndcg@10": (1 / log2(3) + 1 / log2(5)) / (1 + 1 / log2(3)),
        "recall@10": 1,
        "recall@100": 1,
        "map": (1 / 2 + 2 / 4) / 2,
        "mrr@10": 1 / 2,
    },
    "graded, swapped": {
        "ndcg@10": (1 + 2 / log2(3)) / (2 + 1 / log2(3)),
        "recall@10": 1,
        "recall@100": 1,
        "map": 1,
        "mrr@10": 1,
    },
    "nothing found": dict.fromkeys(MEASURES, 0),
    "eleventh": {"ndcg@10": 0, "recall@10": 0, "recall@100": 1, "map": 1 / 11, "mrr@10": 0},
}


def test_each_query_scores_as_worked_out_by_hand() -> None:
    _, per_query = rank_scores(QRELS, RANKINGS)
    assert per_query.keys() == QRELS.keys()
    for query, scores in per_query.items():
        assert scores == pytest.approx(EXPECTED[query]), query


def test_the_mean_is_over_every_judged_query() -> None:
    mean, _ = rank_scores(QRELS, {query: hits for query, hits in RANKINGS.items() if hits})
    assert mean == pytest.approx({name: sum(each[name] for each in EXPECTED.values()) / 4 for name in MEASURES})


def test_the_order_given_is_the_order_scored() -> None:
    documents = [f"d{i:03}" for i in range(100)]
    for order in (documents, documents[::-1]):
        _, per_query = rank_scores({"q": {order[2]: 1}}, {"q": order})
        assert per_query["q"]["mrr@10"] == pytest.approx(1 / 3)
