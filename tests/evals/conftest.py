"""A data set written for the tests, and the command line that runs it."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli import main

CORPUS = [
    {"_id": "tide", "title": "Tides", "text": "High water comes twice a day, about fifty minutes later each day."},
    {
        "_id": "lamp",
        "title": "The lighthouse",
        "text": "The lamp turns once in ten seconds and is seen for twenty miles.",
    },
    {"_id": "bread", "title": "", "text": "Rye bread is baked before dawn and sold until the ferry leaves."},
    {"_id": "ferry", "title": "Ferry", "text": "The boat to the mainland leaves at nine and comes back at five."},
    {"_id": "goat", "title": "Goats", "text": "Seven goats graze on the northern cliff. " * 20},
]
QUERIES = [
    {"_id": "q1", "text": "how often does the lamp turn"},
    {"_id": "q2", "text": "when is high water", "metadata": {}},
    {"_id": "q3", "text": "goats on the cliff"},
    {"_id": "unjudged", "text": "who bakes"},
    {"_id": "nothing", "text": "nothing is relevant to this"},
]
QRELS = [("q1", "lamp", 1), ("q2", "tide", 1), ("q2", "ferry", 0), ("q3", "goat", 2), ("nothing", "bread", 0)]

Footnote = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The data set in BEIR form."""
    path = tmp_path / "island"
    path.mkdir()
    (path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in CORPUS))
    (path / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in QUERIES))
    lines = ["query-id\tcorpus-id\tscore", *("\t".join(map(str, judgement)) for judgement in QRELS)]
    (path / "qrels.tsv").write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def footnote(
    database_url: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Footnote:
    """Runs `footnote ARGUMENTS…` on the test's services; gives (exit code, output, error output)."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("FOOTNOTE_EMBEDDER", "scripted")
    monkeypatch.setenv("FOOTNOTE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["footnote", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


@pytest.fixture
def island(footnote: Footnote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data set's documents as files, ingested as the collection `island`; gives their folder."""
    monkeypatch.setenv("FOOTNOTE_CHAT_MODEL", "scripted")
    folder = tmp_path / "texts"
    folder.mkdir()
    for row in CORPUS:
        (folder / f"{row['_id']}.txt").write_text(row["text"])
    code, _, err = footnote("ingest", folder, "--collection", "island")
    assert code == 0, err
    return folder
