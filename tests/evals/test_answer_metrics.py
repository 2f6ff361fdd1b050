"""Metrics of answers against values worked out by hand."""

import pytest

from app.domain.prices import Prices
from app.domain.run import Citation, Usage, Verdict
from evals.metrics.cost import cost
from evals.metrics.exact_match import exact_match
from evals.metrics.places import Place, place_precision, place_recall
from evals.metrics.refusal import answer_rate, refusal_precision, refusal_recall
from evals.metrics.support import support_rate
from evals.metrics.token_f1 import token_f1


@pytest.mark.parametrize(
    ("answer", "gold", "exact", "f1"),
    [
        ("The lamp, twenty miles.[1]", ["Lamp twenty miles"], 1, 1),
        ("It is seen for twenty miles", ["twenty miles", "32 km"], 0, 2 * 2 / (6 + 2)),
        ("ÉTÉ", ["été"], 1, 1),
        ("", ["twenty miles"], 0, 0),
        ("ten ten", ["ten"], 0, 2 / 3),
        ("anything", [], None, None),
    ],
)
def test_exact_match_and_token_f1(answer: str, gold: list[str], exact: float | None, f1: float | None) -> None:
    assert exact_match(answer, gold) == exact
    assert token_f1(answer, gold) == (None if f1 is None else pytest.approx(f1))


def test_places_meet_when_they_share_a_character() -> None:
    gold = [Place("a", 10, 20), Place("b", 0, 5)]
    found = [Place("a", 19, 30), Place("a", 20, 30), Place("c", 0, 5)]
    assert place_precision(found, gold) == pytest.approx(1 / 3)
    assert place_recall(found, gold) == 1 / 2
    assert (place_precision([], gold), place_recall([], gold)) == (None, 0)
    assert (place_precision(found, []), place_recall(found, [])) == (None, None)


def citation(start: int, verdict: Verdict) -> Citation:
    return Citation(1, start, start + 5, "p", "d", 0, 5, "quote", 0.9, verdict)


def test_a_sentence_with_two_footnotes_counts_once() -> None:
    cited = [citation(0, "supported"), citation(0, "supported"), citation(6, "unsupported"), citation(12, "partial")]
    assert support_rate(cited) == pytest.approx(1 / 3)
    assert support_rate([]) is None


@pytest.mark.parametrize(
    ("refused", "answerable", "recall", "precision", "rate"),
    [
        (True, False, 1, 1, None),
        (True, True, None, 0, 0),
        (False, False, 0, None, None),
        (False, True, None, None, 1),
    ],
)
def test_refusal(
    *, refused: bool, answerable: bool, recall: float | None, precision: float | None, rate: float | None
) -> None:
    assert refusal_recall(refused=refused, answerable=answerable) == recall
    assert refusal_precision(refused=refused, answerable=answerable) == precision
    assert answer_rate(refused=refused, answerable=answerable) == rate


def test_cost_is_by_the_million() -> None:
    prices = Prices(prompt=0.5, completion=2.0)
    assert cost(Usage(2000, 100), prices, completed=True) == pytest.approx(0.001 + 0.0002)
    assert cost(None, prices, completed=True) == 0
    assert cost(None, prices, completed=False) is None
