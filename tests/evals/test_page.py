"""`footnote eval report`: the page that it writes."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from evals.page.words import number, signed
from tests.evals.conftest import Footnote
from tests.evals.results import answers


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"),
        (1.0, "1"),
        (0.5274, "0.527"),
        (12.345, "12.3"),
        (250.4, "250"),
        (4192.3, "4,192"),
        (-0.07, "-0.07"),
        (0.00042, "0.00042"),
    ],
)
def test_numbers(value: float, written: str) -> None:
    assert number(value) == written


def test_signs() -> None:
    assert [signed(value) for value in (0.1, -0.1, 0.00001, -1e-9)] == ["+0.1", "−0.1", "+0.00001", "0"]


def page(footnote: Footnote, folder: Path, head: dict[str, Any], base: dict[str, Any] | None = None) -> str:
    (folder / "head.json").write_text(json.dumps(head))
    options: list[object] = []
    if base is not None:
        (folder / "base.json").write_text(json.dumps(base))
        options = ["--baseline", folder / "base.json"]
    code, out, err = footnote("eval", "report", folder / "head.json", "--html", folder / "page.html", *options)
    assert code == 0, err
    assert out.strip() == str(folder / "page.html")
    return (folder / "page.html").read_text()


def test_a_result_alone(footnote: Footnote, tmp_path: Path) -> None:
    html = page(footnote, tmp_path, answers(0.0))
    assert "The questions that have the worst token_f1." in html
    assert "Verdicts" not in html
    assert html.count("<details><summary>") == 8
    assert "unsupported 0.1" in html


def test_against_a_baseline(footnote: Footnote, tmp_path: Path) -> None:
    html = page(footnote, tmp_path, answers(-0.3), answers(0.0))
    assert "The gate is shut: token_f1" in html
    assert "<td class='worse'>worse</td>" in html
    assert "chat_model: a → b" in html
    assert "60 down" in html
    assert len(re.findall(r"<line x1=", html)) == 10
    assert "The questions that lost most token_f1." in html
    assert "<h4>Baseline</h4>" in html


def test_nothing_of_a_model_or_a_document_becomes_markup(footnote: Footnote, tmp_path: Path) -> None:
    html = page(footnote, tmp_path, answers(-0.3), answers(0.0))
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;" in html
    assert not re.search(r"<[^>]*(?:src|href)=", html)


def test_nothing_moved(footnote: Footnote, tmp_path: Path) -> None:
    html = page(footnote, tmp_path, answers(0.0), answers(0.0))
    assert "The gate is open" in html
    assert "Question by question" not in html


def test_retrieval_shows_what_was_found(footnote: Footnote, folder: Path, tmp_path: Path) -> None:
    footnote("eval", "run", "--suite", f"beir:{folder}", "--leg", "lexical", "--json", tmp_path / "result.json")
    html = page(footnote, tmp_path, json.loads((tmp_path / "result.json").read_text()))
    assert "how often does the lamp turn" in html
    assert "<li>lamp</li>" in html


def test_a_page_that_cannot_be_written(footnote: Footnote, tmp_path: Path) -> None:
    (tmp_path / "head.json").write_text(json.dumps(answers(0.0)))
    code, _, err = footnote("eval", "report", tmp_path / "head.json", "--html", tmp_path / "no" / "page.html")
    assert code == 2
    assert "cannot be written" in err
