"""A data set as questions: what is made of it, and what is said of one that cannot be."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.domain.errors import InvalidInput
from evals.datasets.as_questions import main
from evals.datasets.questions import load_questions

ABOUT: dict[str, Any] = {"answerable": True, "answers": ["once in ten seconds"]}


def ask(folder: Path, **about: Any) -> None:
    """Give the data set's queries what is known of their answers."""
    path = folder / "queries.jsonl"
    queries = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [json.dumps(query | {"metadata": about.get(query["_id"], {"answerable": False})}) for query in queries]
    path.write_text("".join(f"{line}\n" for line in lines))


def test_half_of_the_questions_have_an_answer(folder: Path, tmp_path: Path) -> None:
    ask(folder, q1=ABOUT)
    main(folder, tmp_path / "out", 2)
    suite = load_questions(tmp_path / "out" / "questions.jsonl")
    assert sorted(question.answerable for question in suite.questions) == [False, True]
    (lamp,) = (question for question in suite.questions if question.answerable)
    assert (lamp.answers, lamp.documents) == (("once in ten seconds",), ("lamp.md",))
    assert "The lamp turns" in (tmp_path / "out" / "documents" / "lamp.md").read_text()


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({"q2": {}}, r"queries\.jsonl:2: metadata\.answerable belongs here"),
        ({"unjudged": ABOUT}, r"queries\.jsonl:4: metadata\.answerable belongs here"),
        ({}, "has 0 questions with an answer; take fewer"),
    ],
)
def test_what_the_questions_lack_is_said(folder: Path, tmp_path: Path, about: dict[str, Any], says: str) -> None:
    ask(folder, **about)
    with pytest.raises(InvalidInput, match=says):
        main(folder, tmp_path / "out", 2)


def test_no_document_is_written_outside_the_folder(folder: Path, tmp_path: Path) -> None:
    ask(folder, q1=ABOUT)
    for file in ("corpus.jsonl", "qrels.tsv"):
        (folder / file).write_text((folder / file).read_text().replace("bread", "../../bread"))
    with pytest.raises(InvalidInput, match="bread cannot be a file of that name"):
        main(folder, tmp_path / "out", 2)
    assert list(tmp_path.rglob("*.md")) == []
