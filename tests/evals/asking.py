"""Questions about the data set of the tests, and asking them through the command line."""

import json
from pathlib import Path
from typing import Any

from tests.evals.conftest import Footnote

QUESTIONS: list[dict[str, Any]] = [
    {
        "_id": "lamp",
        "question": "How far is the lamp seen?",
        "answers": ["The lamp turns once in ten seconds and is seen for twenty miles."],
        "spans": [{"document": "lamp.txt", "quote": "seen for twenty miles"}],
    },
    {"_id": "tide", "question": "High water comes twice a day?", "documents": ["tide.txt"]},
    {"_id": "no", "question": "zzz qqq", "answerable": False},
    {
        "_id": "then",
        "question": "How many goats graze on the cliff?",
        "answers": ["Seven"],
        "history": [{"role": "user", "content": "Are there goats?"}, {"role": "assistant", "content": "Yes."}],
    },
    {"_id": "fails", "question": "When does the ferry leave? [[fail-after=1]]", "answers": ["At nine"]},
]


def suite(folder: Path, questions: list[dict[str, Any]]) -> str:
    path = folder.parent / "asked.jsonl"
    path.write_text("".join(json.dumps(question) + "\n" for question in questions))
    return f"qa:{path}"


def ask(footnote: Footnote, folder: Path, questions: list[dict[str, Any]], *options: object) -> dict[str, Any]:
    report = folder.parent / "report.json"
    arguments = ("--suite", suite(folder, questions), "--collection", "island", "--json", report, *options)
    code, out, err = footnote("eval", "run", *arguments)
    assert code == 0, err
    assert "answer_rate" in out
    return json.loads(report.read_text())  # type: ignore[no-any-return]
