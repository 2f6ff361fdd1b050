"""The handbook suite and its gate: planted regressions are caught, and what changes nothing passes."""

import subprocess
import sys

from evals.datasets.questions import load_questions
from evals.drills.regressions import SUITE


def test_planted_regressions_are_caught_and_nothing_else() -> None:
    # as its user runs it, and in a process of its own: measuring coverage would make it half as long again
    command = [sys.executable, "-m", "evals.drills.regressions", "--noops", "1", "--chat-model", "extractive"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    table = " ".join(done.stdout.split())
    assert [table.count(each) for each in ("stop", "pass, 1 times of 1")] == [3, 1]


def test_the_suite_asks_what_it_should() -> None:
    questions = load_questions(SUITE).questions
    assert len(questions) >= 80
    assert sum(not question.answerable for question in questions) >= 20
    assert sum(bool(question.history) for question in questions) >= 15
    assert sum(question.id.startswith("bad-") for question in questions) >= 10
    assert all(question.spans for question in questions if question.answerable)
