"""BEIR folders: what is read of them, and what is said of a malformed one."""

from codecs import BOM_UTF8
from pathlib import Path

import pytest

from app.domain.errors import InvalidInput
from evals.datasets.beir import load_beir


def test_a_folder_is_read(folder: Path) -> None:
    dataset = load_beir(folder)
    assert dataset.name == "island"
    assert [row.id for row in dataset.corpus] == ["tide", "lamp", "bread", "ferry", "goat"]
    assert list(dataset.queries) == ["q1", "q2", "q3"]  # judged, and something is relevant
    assert dataset.qrels["q2"] == {"tide": 1, "ferry": 0}


def test_qrels_may_lie_where_beir_puts_them(folder: Path) -> None:
    (folder / "qrels").mkdir()
    (folder / "qrels.tsv").rename(folder / "qrels" / "test.tsv")
    assert list(load_beir(folder).queries) == ["q1", "q2", "q3"]


def test_files_that_windows_wrote_are_read(folder: Path) -> None:
    before = load_beir(folder)
    for path in folder.iterdir():
        path.write_bytes(BOM_UTF8 + path.read_bytes().replace(b"\n", b"\r\n"))
    after = load_beir(folder)
    assert (list(after.corpus), after.queries, after.qrels) == (list(before.corpus), before.queries, before.qrels)


def test_another_corpus_has_another_fingerprint(folder: Path) -> None:
    before = load_beir(folder).fingerprint
    corpus = folder / "corpus.jsonl"
    corpus.write_text(corpus.read_text().replace("twice", "thrice"))
    assert load_beir(folder).fingerprint != before


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("corpus.jsonl", '{"_id": "open"', "corpus.jsonl:6: not JSON"),
        ("corpus.jsonl", '["a list"]', "corpus.jsonl:6: an object"),
        ("corpus.jsonl", '{"_id": 7, "text": "number"}', "corpus.jsonl:6: an object"),
        ("corpus.jsonl", '{"_id": "tide", "text": "again"}', "corpus.jsonl:6: the _id tide is there twice"),
        ("corpus.jsonl", '{"_id": "new"}', 'corpus.jsonl:6: "title" and "text"'),
        ("corpus.jsonl", '{"_id": "half", "text": "\\ud83d"}', "corpus.jsonl:6: half of a surrogate pair"),
        ("corpus.jsonl", '{"_id": "n", "text": "", "n": ' + "9" * 5000, "corpus.jsonl:6: JSON that cannot be read"),
        ("corpus.jsonl", '{"_id": "deep", "text": ' + "[" * 200_000, "corpus.jsonl:6: JSON that cannot be read"),
        ("corpus.jsonl", '{"_id": "a\\u0000", "text": "zero"}', 'corpus.jsonl:6: the "_id" has a NUL'),
        ("queries.jsonl", '{"text": "nobody"}', "queries.jsonl:6: an object"),
        ("queries.jsonl", '{"_id": "half", "text": "\\ud83d"}', "queries.jsonl:6: half of a surrogate pair"),
        ("qrels.tsv", "q1\tlamp", "qrels.tsv:7: query-id, corpus-id and a whole score"),
        ("qrels.tsv", "q1\tlamp\thigh", "qrels.tsv:7: query-id, corpus-id and a whole score"),
        ("qrels.tsv", "q1\ttide\t--1", "qrels.tsv:7: query-id, corpus-id and a whole score"),
        ("qrels.tsv", "q1\ttide\t999999999", "qrels.tsv:7: query-id, corpus-id and a whole score"),
        ("qrels.tsv", "q1\tlamp\t0", "qrels.tsv:7: the document lamp is judged twice for q1, not alike"),
        ("qrels.tsv", "q9\tlamp\t1", "qrels.tsv:7: the query q9 has no text"),
        ("qrels.tsv", "q1\tmoon\t1", "qrels.tsv:7: the document moon is not in corpus.jsonl"),
    ],
)
def test_a_malformed_line_is_named(folder: Path, file: str, line: str, message: str) -> None:
    with (folder / file).open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(InvalidInput) as caught:
        load_beir(folder)
    assert message in caught.value.message


@pytest.mark.parametrize("file", ["corpus.jsonl", "queries.jsonl", "qrels.tsv"])
def test_a_missing_file_is_named(folder: Path, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(InvalidInput, match=f"{file}: there is no such file"):
        load_beir(folder)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("corpus.jsonl", b"", "the file is empty"),
        ("corpus.jsonl", b'{"_id": "\xff"}\n', "corpus.jsonl:1: not UTF-8"),
        ("corpus.jsonl", b'{"_id": "a", "text": ""}\n\n{"_id": "\xff"}\n', "corpus.jsonl:3: not UTF-8"),
        ("qrels.tsv", b"q1\tlamp\t0\n", "no query has a relevant document"),
    ],
)
def test_a_useless_file_is_named(folder: Path, file: str, content: bytes, message: str) -> None:
    (folder / file).write_bytes(content)
    with pytest.raises(InvalidInput, match=message):
        load_beir(folder)


def test_a_file_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "qrels.tsv").unlink()
    (folder / "qrels.tsv").symlink_to("/proc/self/mem")  # as a damaged disk answers
    with pytest.raises(InvalidInput, match=r"qrels.tsv: cannot be read \(Input/output error\)"):
        load_beir(folder)


def test_no_folder_at_all(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="a folder with corpus"):
        load_beir(tmp_path / "nowhere")
