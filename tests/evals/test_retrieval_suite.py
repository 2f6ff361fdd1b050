"""The suite `beir:` through the command line, on a real database."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from app.domain.errors import ProviderUnavailable
from app.domain.ports import Vectors
from app.domain.principal import DEFAULT_WORKSPACE_ID
from app.providers.fakes import HashEmbedder
from tests.evals.conftest import CORPUS, Footnote
from tests.fixtures.rerank_server import rerank_server


def evaluate(footnote: Footnote, folder: Path, *options: object) -> dict[str, Any]:
    report = folder.parent / "report.json"
    code, out, err = footnote("eval", "run", "--suite", f"beir:{folder}", "--json", report, *options)
    assert code == 0, err
    assert "ndcg@10" in out
    return json.loads(report.read_text())  # type: ignore[no-any-return]


@contextmanager
def workspace(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT set_config('footnote.workspace_id', %s, false)", (str(DEFAULT_WORKSPACE_ID),))
        yield connection


def stored(database_url: str) -> dict[str, Any]:
    with workspace(database_url) as connection:
        return dict(connection.execute("SELECT source_uri, id FROM document").fetchall())


@pytest.mark.parametrize("leg", ["lexical", "dense", "hybrid"])
def test_a_leg_is_measured(footnote: Footnote, folder: Path, leg: str) -> None:
    report = evaluate(footnote, folder, "--leg", leg)
    assert (report["suite"], report["leg"], report["queries"]) == ("beir:island", leg, 3)
    assert (report["corpus"]["documents"], report["corpus"]["chunks"]) == (5, 5)
    assert report["metrics"].keys() == {"ndcg@10", "recall@10", "recall@100", "map", "mrr@10"}
    assert all(0.5 < value <= 1 for value in report["metrics"].values()), report["metrics"]
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p95"]
    assert report["latency_ms"]["embed_p50"] > 0
    assert report["settings"]["rrf_k"] == 60
    assert report["settings"]["chunking"] == "row"
    lamp = report["per_query"]["q1"]
    assert lamp["hits"][0] == "lamp"
    assert lamp["ndcg@10"] == lamp["recall@100"] == 1
    assert lamp["ms"] > 0
    assert ("exact_search" in report) == (leg == "dense")


def test_dense_is_compared_with_exact_search(footnote: Footnote, folder: Path) -> None:
    report = evaluate(footnote, folder, "--leg", "dense")
    assert report["exact_search"] == {"recall@10": 1.0, "ndcg@10": report["metrics"]["ndcg@10"]}
    assert report["per_query"]["q1"]["exact_recall@10"] == 1.0


def test_a_complete_collection_is_not_written_again(footnote: Footnote, folder: Path, database_url: str) -> None:
    evaluate(footnote, folder, "--leg", "lexical")
    before = stored(database_url)
    assert before.keys() == {f"beir:{row['_id']}" for row in CORPUS}
    evaluate(footnote, folder, "--leg", "dense")
    assert stored(database_url) == before


def test_an_interrupted_ingestion_goes_on(
    footnote: Footnote, folder: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evals.corpus._BLOCK", 2)
    real, embedded = HashEmbedder.embed_passages, list[str]()

    async def dies(self: HashEmbedder, texts: Sequence[str]) -> Vectors:
        if len(embedded) == 2:
            raise ProviderUnavailable("gone")
        embedded.extend(texts)
        return await real(self, texts)

    monkeypatch.setattr(HashEmbedder, "embed_passages", dies)
    code, _, err = footnote("eval", "run", "--suite", f"beir:{folder}")
    assert (code, err.splitlines()[-1]) == (2, "footnote: gone")
    first = stored(database_url)
    assert len(first) == 2
    monkeypatch.setattr(HashEmbedder, "embed_passages", real)
    assert evaluate(footnote, folder)["corpus"]["chunks"] == 5
    assert stored(database_url).items() >= first.items()


def test_vectors_are_kept_when_the_database_is_not(
    footnote: Footnote, folder: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = evaluate(footnote, folder, "--leg", "dense")
    with workspace(database_url) as connection:
        connection.execute("DELETE FROM collection")
    assert stored(database_url) == {}
    asked, real = list[str](), HashEmbedder.embed_passages

    async def noted(self: HashEmbedder, texts: Sequence[str]) -> Vectors:
        asked.extend(texts)
        return await real(self, texts)

    monkeypatch.setattr(HashEmbedder, "embed_passages", noted)
    again = evaluate(footnote, folder, "--leg", "dense")
    assert again["metrics"] == report["metrics"]
    assert not any("High water" in text for text in asked)


def test_documents_are_cut_on_demand(footnote: Footnote, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOOTNOTE_CHUNK_TOKENS", "64")
    report = evaluate(footnote, folder, "--chunk", "--leg", "dense")
    assert report["corpus"]["documents"] == 5
    assert report["corpus"]["chunks"] > 5
    goats = report["per_query"]["q3"]["hits"]
    assert goats[0] == "goat"
    assert len(goats) == len(set(goats))
    assert report["settings"]["chunking"] == "structure-v2/64"


def test_a_collection_by_name_is_cut_as_asked(
    footnote: Footnote, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOOTNOTE_CHUNK_TOKENS", "64")
    own = ("--collection", "mine", "--leg", "lexical")
    assert evaluate(footnote, folder, *own)["corpus"]["chunks"] == 5
    assert evaluate(footnote, folder, *own, "--chunk")["corpus"]["chunks"] > 5
    assert evaluate(footnote, folder, *own)["corpus"]["chunks"] == 5


def test_a_collection_with_other_documents_is_left_alone(
    footnote: Footnote, folder: Path, island: Path, database_url: str
) -> None:
    before = stored(database_url)
    code, _, err = footnote("eval", "run", "--suite", f"beir:{folder}", "--collection", "island")
    assert code == 2
    assert "The collection island holds 5 documents that are not in the corpus of island, file://" in err
    assert stored(database_url) == before
    evaluate(footnote, folder, "--collection", "mine")
    corpus = folder / "corpus.jsonl"
    corpus.write_text("".join(line for line in corpus.read_text().splitlines(keepends=True) if '"tide"' not in line))
    qrels = folder / "qrels.tsv"
    qrels.write_text("".join(line for line in qrels.read_text().splitlines(keepends=True) if "tide" not in line))
    code, _, err = footnote("eval", "run", "--suite", f"beir:{folder}", "--collection", "mine")
    assert (code, "holds 1 documents that are not in the corpus of island, beir:tide" in err) == (2, True)


def test_a_reranker_orders_what_was_found_and_its_failures_are_counted(
    footnote: Footnote, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOOTNOTE_RERANKER", "tei")
    with rerank_server() as server:
        monkeypatch.setenv("FOOTNOTE_RERANKER_BASE_URL", server.url)
        report = evaluate(footnote, folder, "--leg", "hybrid+rerank")
    assert (report["leg"], report["not_reranked"]) == ("hybrid+rerank", 0)
    assert report["settings"]["reranker"] == "tei"
    assert server.requests
    report = evaluate(footnote, folder, "--leg", "hybrid+rerank")
    assert report["not_reranked"] == report["queries"]
    assert "not_reranked" not in evaluate(footnote, folder)


def test_brackets_in_names_are_no_markup(footnote: Footnote, folder: Path) -> None:
    named = folder.rename(folder.with_name("island[v2]"))
    report = folder.parent / "report.json"
    code, out, err = footnote("eval", "run", "--suite", f"beir:{named}", "--json", report)
    assert code == 0, err
    assert "beir:island[v2], hybrid" in out
    assert "ingesting island[v2]" in err
    _, out, _ = footnote("eval", "gate", "--baseline", report, "--head", report)
    assert "beir:island[v2], 3 questions" in out


def test_only_the_first_queries(footnote: Footnote, folder: Path) -> None:
    report = evaluate(footnote, folder, "--limit", 2, "--concurrency", 2, "--collection", "mine")
    assert list(report["per_query"]) == ["q1", "q2"]
    assert report["settings"]["collection"] == "mine"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--suite", "beir:"], "it takes beir:FOLDER, chunking:FOLDER or qa:FILE"),
        (["--suite", "trec:here"], "it takes beir:FOLDER, chunking:FOLDER or qa:FILE"),
        (["--suite", "qa:nowhere"], "takes --collection NAME"),
        (["--suite", "qa:nowhere", "--collection", "c"], "nowhere: there is no such file"),
        (["--suite", "beir:nowhere"], "nowhere: a folder with corpus.jsonl"),
        (["--suite", "chunking:nowhere"], "nowhere: texts corpora/*.md"),
        (["--suite", "chunking:nowhere", "--leg", "lexical"], "defined for --leg dense"),
        (["--suite", "beir:nowhere", "--leg", "hybrid+rerank"], "No reranker is configured"),
        (["--suite", "beir:nowhere", "--judge", "openai:x"], "--judge is for the suite qa:, not for beir:"),
        (["--suite", "chunking:nowhere", "--closed-book"], "--closed-book is for the suite qa:, not for chunking:"),
        (["--suite", "qa:nowhere", "--collection", "c", "--chunk"], "--chunk is for the suite beir:"),
        (["--suite", "chunking:nowhere", "--collection", "c"], "--collection is for the suite beir: and qa:"),
        (["--suite", "qa:nowhere", "--collection", "c", "--calibration", "f"], "does nothing without --judge"),
        (["--suite", "qa:nowhere", "--collection", "c", "--api-key-from-env", "KEY"], "does nothing without --url"),
    ],
)
def test_what_cannot_be_run_is_said(footnote: Footnote, options: list[str], message: str) -> None:
    code, _, err = footnote("eval", "run", *options)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(("place", "why"), [("no/report.json", "there is no folder"), ("", "it is a folder")])
def test_a_report_that_cannot_be_written_is_told_before_anything_is_run(
    footnote: Footnote, folder: Path, database_url: str, place: str, why: str
) -> None:
    code, out, err = footnote("eval", "run", "--suite", f"beir:{folder}", "--json", folder / place)
    assert (code, out) == (2, "")
    assert "the report cannot be written" in err
    assert why in err
    assert stored(database_url) == {}
