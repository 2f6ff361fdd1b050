"""The handbook suite and its gate: planted regressions are caught, and what changes nothing passes."""

from pathlib import Path

from evals.datasets.questions import load_questions
from evals.drills.regressions import SUITE, drill


def test_planted_regressions_are_caught_and_nothing_else(tmp_path: Path) -> None:
    caught, passed = drill(tmp_path, 1, {"chat_model": "extractive"})
    assert {name: decision.passed for name, decision in caught.items()} == dict.fromkeys(caught, False)
    assert len(caught) == 3
    assert [decision.passed for decision in passed] == [True]


def test_the_suite_asks_what_it_should() -> None:
    questions = load_questions(SUITE).questions
    assert len(questions) >= 80
    assert sum(not question.answerable for question in questions) >= 20
    assert sum(bool(question.history) for question in questions) >= 15
    assert sum(question.id.startswith("bad-") for question in questions) >= 10
    assert all(question.spans for question in questions if question.answerable)
