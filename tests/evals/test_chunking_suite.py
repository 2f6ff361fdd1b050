"""The suite `chunking:` through the command line."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.domain.errors import InvalidInput
from evals.datasets.excerpts import load_excerpts
from tests.evals.conftest import Footnote

LAMP = "The lamp turns once in ten seconds."
BREAD = "Rye bread is baked before dawn."
TEXTS = {
    "light": f"# Light\n\nThe tower was built of granite.\n\n{LAMP}\n",
    "bakery": f"# Bakery\n\n{BREAD}\n\nThe oven is older than the house.\n",
}


def question(id_: str, text: str, corpus: str, excerpt: str) -> dict[str, Any]:
    start = TEXTS[corpus].index(excerpt)
    reference = {"content": excerpt, "start_index": start, "end_index": start + len(excerpt)}
    return {"_id": id_, "text": text, "metadata": {"corpus_id": corpus, "references": [reference]}}


QUESTIONS = [
    question("q1", "how often does the lamp turn", "light", LAMP),
    question("q2", "when is the bread baked", "bakery", BREAD),
]


@pytest.fixture
def excerpts(tmp_path: Path) -> Path:
    path = tmp_path / "excerpts"
    (path / "corpora").mkdir(parents=True)
    for name, text in TEXTS.items():
        (path / "corpora" / f"{name}.md").write_text(text)
    (path / "queries.jsonl").write_text("".join(json.dumps(each) + "\n" for each in QUESTIONS))
    return path


def test_whole_texts_as_chunks(footnote: Footnote, excerpts: Path) -> None:
    """Each text is one chunk and both are retrieved, so that every figure can be counted."""
    report_file = excerpts / "report.json"
    code, out, err = footnote("eval", "run", "--suite", f"chunking:{excerpts}", "--json", report_file)
    assert code == 0, err
    assert "precision_omega" in out
    report = json.loads(report_file.read_text())
    assert report["corpus"]["chunks"] == 2
    sizes = {name: len(text.strip()) for name, text in TEXTS.items()}
    precision = [len(LAMP) / sum(sizes.values()), len(BREAD) / sum(sizes.values())]
    omega = [len(LAMP) / sizes["light"], len(BREAD) / sizes["bakery"]]
    assert report["metrics"] == pytest.approx(
        {"recall": 1, "precision": sum(precision) / 2, "iou": sum(precision) / 2, "precision_omega": sum(omega) / 2}
    )
    assert report["sd"]["recall"] == 0
    assert report["sd"]["precision"] == pytest.approx(abs(precision[0] - precision[1]) / 2)
    assert report["per_query"]["q1"]["hits"][0] == f"light:0-{sizes['light']}"
    assert "contexts" not in report["settings"]


def test_contexts_are_written_once(footnote: Footnote, excerpts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOOTNOTE_CHAT_MODEL", "scripted")
    report_file = excerpts / "report.json"
    arguments = ("--suite", f"chunking:{excerpts}", "--chunk-tokens", 32, "--json", report_file)
    kept = []
    for _ in range(2):
        code, _, err = footnote("eval", "run", *arguments, "--contexts")
        assert code == 0, err
        report = json.loads(report_file.read_text())
        kept.append({path: path.stat().st_mtime_ns for path in excerpts.parent.rglob("contexts/*/*")})
    assert report["settings"]["contexts"]["model"] == "scripted"
    assert report["settings"]["contexts"]["empty"] == 0
    assert len(kept[0]) == report["corpus"]["chunks"]
    assert kept[1] == kept[0], "none was asked for again"
    assert {path.read_text() for path in kept[0]} == {"This is from Light.", "This is from Bakery."}
    code, _, err = footnote("eval", "run", "--suite", f"beir:{excerpts}", "--contexts")
    assert (code, "footnote context NAME --on" in err) == (2, True)


def test_smaller_chunks_are_a_setting_away(footnote: Footnote, excerpts: Path) -> None:
    corpus = excerpts / "corpora" / "light.md"
    corpus.write_text(TEXTS["light"] + "\nThe keeper writes down the weather every hour of the day." * 20)
    for tokens, chunks in ((2000, 2), (50, 5)):
        report_file = excerpts / f"{tokens}.json"
        suite = f"chunking:{excerpts}"
        code, _, err = footnote("eval", "run", "--suite", suite, "--chunk-tokens", tokens, "--json", report_file)
        assert code == 0, err
        report = json.loads(report_file.read_text())
        assert report["corpus"]["chunks"] >= chunks
        assert report["settings"]["chunker"] == f"structure-v2/{tokens}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("start_index", 3), "queries.jsonl:2: an excerpt is not where it should be"),
        (("end_index", "x"), "queries.jsonl:2: text, metadata.corpus_id"),
    ],
)
def test_a_misplaced_excerpt_is_named(excerpts: Path, change: tuple[str, object], message: str) -> None:
    broken = json.loads(json.dumps(QUESTIONS[1]))
    broken["metadata"]["references"][0][change[0]] = change[1]
    (excerpts / "queries.jsonl").write_text(json.dumps(QUESTIONS[0]) + "\n" + json.dumps(broken) + "\n")
    with pytest.raises(InvalidInput) as caught:
        load_excerpts(excerpts)
    assert message in caught.value.message


def test_an_unknown_text_is_named(excerpts: Path) -> None:
    (excerpts / "corpora" / "bakery.md").unlink()
    with pytest.raises(InvalidInput, match=r"queries.jsonl:2: .*KeyError: 'bakery'"):
        load_excerpts(excerpts)
