"""The command line: commands do what they say, faults are one line and an exit code."""

import io
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from app import __version__
from app.cli import main
from app.storage.revision import HEAD
from tests.fixtures.rerank_server import rerank_server
from tests.fixtures.services import with_database

CORPUS = Path(__file__).resolve().parents[1] / "fixtures" / "corpus"


@pytest.fixture
def footnote(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs `footnote ARGUMENTS…` on the test's services; gives (exit code, output, error output)."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("FOOTNOTE_CHAT_MODEL", "scripted")
    monkeypatch.setenv("FOOTNOTE_EMBEDDER", "scripted")
    monkeypatch.setenv("FOOTNOTE_MIN_EVIDENCE", "0")
    monkeypatch.setenv("FOOTNOTE_SCRIPTED_TOKENS_PER_S", "100000")
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["footnote", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


Footnote = Callable[..., tuple[int, str, str]]


def test_version_and_help(footnote: Footnote) -> None:
    assert footnote("--version") == (0, f"footnote {__version__}\n", "")
    code, out, _ = footnote("--help")
    assert code == 0
    for command in ("up", "serve", "ingest", "ask", "search", "migrate", "doctor"):
        assert command in out


def test_ingest_reports_and_skips_what_is_unchanged(footnote: Footnote) -> None:
    code, out, _ = footnote("ingest", CORPUS, "--json")
    first = json.loads(out.splitlines()[-1])
    assert (code, first["ingested"], first["unchanged"], first["failures"]) == (0, 3, 0, [])
    assert first["chunks"] >= 3
    code, out, _ = footnote("ingest", CORPUS, "--json")
    second = json.loads(out.splitlines()[-1])
    assert (code, second["ingested"], second["unchanged"], second["chunks"]) == (0, 0, 3, 0)


def test_one_bad_file_stops_nothing_and_is_named(footnote: Footnote, tmp_path: Path) -> None:
    (tmp_path / "good.md").write_text("# Good\n\nAll is well here.\n")
    (tmp_path / "empty.md").write_text("")
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7\nnothing more")
    code, _, err = footnote("ingest", tmp_path)
    assert code == 1
    assert "1 documents ingested into “default”" in err
    assert "2 failed" in err
    assert "empty.md" in err
    assert "broken.pdf" in err


def test_ingesting_what_is_not_there(footnote: Footnote, tmp_path: Path) -> None:
    code, _, err = footnote("ingest", tmp_path / "nowhere")
    assert code == 2
    assert "nowhere: there is no such file or folder" in err


def test_search_prints_passages_and_json(footnote: Footnote) -> None:
    footnote("ingest", CORPUS, "--json")
    code, out, _ = footnote("search", "who was the last keeper", "--k", 2)
    assert code == 0
    assert out.startswith("1. The lighthouse at Skarv Point › ")
    code, out, _ = footnote("search", "last keeper", "--k", 2, "--collection", "default", "--json")
    passages = json.loads(out)["passages"]
    assert len(passages) == 2
    assert {
        "id",
        "document_id",
        "title",
        "uri",
        "heading_path",
        "page",
        "char_start",
        "char_end",
        "text",
        "score",
    } <= passages[0].keys()


def test_a_search_is_explained(footnote: Footnote, tmp_path: Path) -> None:
    code, out, _ = footnote("search", "keeper", "--explain")
    assert (code, out) == (0, "")  # nothing is there yet
    footnote("ingest", CORPUS, "--json")
    code, out, _ = footnote("search", 'who was the "last keeper"', "--k", 1, "--explain")
    assert code == 0
    assert re.search(r"^1\. The lighthouse .*\[\d\.\d{4}: dense -?\d\.\d{4}, lexical \d+\.\d{4}\]$", out, re.MULTILINE)
    assert re.search(r"^route +exact: .* \(about (\d+) of \1 passages pass\)$", out, re.MULTILINE)
    assert "phrase     “last keeper”\n" in out
    assert re.search(r"on chunk_lexeme l_\d \(actual time=", out)
    assert "'[…]'::halfvec" in out
    code, out, _ = footnote("search", "keeper", "--leg", "dense", "--explain", "--json")
    explanation = json.loads(out)["explanation"]
    assert (code, explanation["route"], explanation["phrases"]) == (0, "exact", [])
    assert not any("chunk_lexeme" in line for line in explanation["plan"])


def test_filters_narrow_search_and_ask(footnote: Footnote, tmp_path: Path) -> None:
    (tmp_path / "old.md").write_text("---\nyear: 2019\n---\n# Old\n\nThe hill was steep.\n")
    (tmp_path / "new.md").write_text("---\nyear: 2024\n---\n# New\n\nThe hill is steep.\n")
    footnote("ingest", tmp_path, "--json")
    wire = '{"year": {"$gte": 2020}}'
    code, out, _ = footnote("search", "hill", "--filter", wire, "--json")
    assert (code, [passage["title"] for passage in json.loads(out)["passages"]]) == (0, ["New"])
    code, out, _ = footnote("ask", "Is the hill steep?", "--filter", wire, "--json")
    retrieved = next(event for event in map(json.loads, out.splitlines()) if event["type"] == "retrieval.completed")
    assert (code, [passage["title"] for passage in retrieved["passages"]]) == (0, ["New"])


@pytest.mark.parametrize(
    ("wire", "says"),
    [
        ("year=2020", "/filter: --filter is not JSON"),
        ("[" * 200_000, "/filter: --filter is not JSON"),
        ('{"year": {"$gte": NaN}}', "/filter/year/$gte: the number is not finite"),
        ('{"yaer": 2020}', "/filter/yaer: no document has a field 'yaer'"),
        ("[1]", "/filter: expected an object of conditions"),
    ],
)
def test_a_wrong_filter_is_one_line(footnote: Footnote, wire: str, says: str) -> None:
    for command in ("search", "ask"):
        code, out, err = footnote(command, "hill", "--filter", wire)
        assert (code, out) == (2, "")
        assert says in err


def test_search_says_whether_it_was_reranked(footnote: Footnote, monkeypatch: pytest.MonkeyPatch) -> None:
    footnote("ingest", CORPUS, "--json")
    with rerank_server(lambda _, text: float("rye" in text)) as server:
        monkeypatch.setenv("FOOTNOTE_RERANKER", "tei")
        monkeypatch.setenv("FOOTNOTE_RERANKER_BASE_URL", server.url)
        code, out, err = footnote("search", "who was the last keeper", "--k", 2)
        assert (code, err.strip()) == (0, "footnote: reranked")
        assert out.startswith("1. The bakery on Anker Street")
        assert json.loads(footnote("search", "keeper", "--json")[1])["reranked"] is True
        server.script.status = 500
        code, out, err = footnote("search", "who was the last keeper", "--k", 2)
        assert code == 0
        assert "not reranked" in err
        assert out.startswith("1. The lighthouse at Skarv Point › ")
        found = json.loads(footnote("search", "keeper", "--json")[1])
        assert found["reranked"] is False
        assert "failed (500)" in found["rerank_problem"]


def test_doctor_examines_the_reranker(footnote: Footnote, monkeypatch: pytest.MonkeyPatch) -> None:
    def reranker() -> tuple[str, str]:
        findings = {finding["name"]: finding for finding in json.loads(footnote("doctor", "--json")[1])["findings"]}
        return findings["reranker"]["state"], findings["reranker"]["detail"]

    assert reranker() == ("ok", "none, passages keep the order of retrieval; see FOOTNOTE_RERANKER")
    monkeypatch.setenv("FOOTNOTE_RERANKER", "jina:m")
    state, detail = reranker()
    assert (state, "JINA_API_KEY" in detail) == ("error", True)
    with rerank_server() as server:
        monkeypatch.setenv("FOOTNOTE_RERANKER_BASE_URL", server.url)
        state, detail = reranker()
        assert (state, detail[:21]) == ("ok", "jina:m, 50 passages i")
        monkeypatch.setenv("FOOTNOTE_RERANKER_TIMEOUT_S", "0.5")
        server.script.delay_s = 0.3
        monkeypatch.setenv("FOOTNOTE_RERANKER_BATCH", "5")
        state, detail = reranker()
        assert (state, "lower FOOTNOTE_RERANK_CANDIDATES" in detail) == ("warning", True)
        server.script.status = 401
        assert reranker()[0] == "error"


def test_ask_streams_the_answer_and_lists_footnotes(footnote: Footnote) -> None:
    footnote("ingest", CORPUS, "--json")
    code, out, err = footnote("ask", "How long does the crossing of the ferry take?")
    assert code == 0
    told = re.fullmatch(r'To go on: footnote ask --conversation ([0-9a-f-]{36}) "…"\n', err)
    assert told
    assert footnote("ask", "And back?", "--conversation", told[1])[2] == err
    assert "[1]" in out.partition("\n")[0]
    assert "\n[1] The ferry to Holm Island" in out
    code, out, _ = footnote("ask", "How long does the crossing take?", "--json")
    events = [json.loads(line) for line in out.splitlines()]
    assert (events[0]["type"], events[-1]["type"]) == ("run.started", "run.completed")


def test_ask_says_why_it_failed(footnote: Footnote) -> None:
    footnote("ingest", CORPUS, "--json")
    code, _, err = footnote("ask", "When? [[fail-after=3]]")
    assert code == 2
    assert "scripted model failed" in err
    assert footnote("ask", " ")[0] == 2
    code, _, err = footnote("ask", "When?", "--conversation", "00000000-0000-7000-8000-00000000000f")
    assert (code, "leave --conversation out" in err, "conversation_id" in err) == (2, True, False)


def test_migrate_and_doctor(
    footnote: Footnote, new_database: Callable[[str | None], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = footnote("migrate")
    assert (code, f"schema at {HEAD}" in err) == (0, True)
    code, out, _ = footnote("doctor", "--json")
    findings = {finding["name"]: finding for finding in json.loads(out)["findings"]}
    assert code == 0
    assert findings["database"]["state"] == "ok"
    assert findings["run log"]["detail"].startswith("valkey 9")
    assert findings["documents"]["state"] == "warning"
    monkeypatch.setenv("DATABASE_URL", new_database(None))
    code, out, _ = footnote("doctor")
    assert code == 1
    assert "footnote migrate" in out


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("FOOTNOTE_CHAT_MODEL", "gpt-99", "FOOTNOTE_CHAT_MODEL"),
        ("FOOTNOTE_CHAT_MODEL", "openai:gpt-99", "OPENAI_API_KEY"),
        ("FOOTNOTE_CHAT_MODEL", "anthropic:claude", "ANTHROPIC_API_KEY"),
        ("FOOTNOTE_CHAT_MODEL", "gguf:/nowhere.gguf", "/nowhere.gguf"),
        ("FOOTNOTE_RERANKER", "rerank-v99", "FOOTNOTE_RERANKER"),
        ("FOOTNOTE_RERANKER", "cohere:rerank-v3.5", "COHERE_API_KEY"),
        ("FOOTNOTE_PORT", "eighty", "FOOTNOTE_PORT"),
        ("FOOTNOTE_API_KEYS", "short", "16 characters"),
        ("FOOTNOTE_HOST", "0.0.0.0", "FOOTNOTE_API_KEYS"),
        ("DATABASE_URL", "mysql://somewhere/x", "postgresql://"),
        ("DATABASE_URL", "postgresql://nobody:secret@127.0.0.1:1/x", "port 1 failed: Connection refused"),
        ("REDIS_URL", "", "REDIS_URL"),
    ],
)
def test_a_server_that_cannot_work_does_not_start(
    footnote: Footnote, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv("FOOTNOTE_PORT", "0")
    monkeypatch.setenv(variable, value)
    code, _, err = footnote("serve")
    assert code == 2
    assert says in err
    assert "secret" not in err


def test_what_keeps_from_the_database_is_named(
    footnote: Footnote, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", with_database(database_url, "nowhere"))
    says = "PostgreSQL is not reachable: connection failed"
    for command in (("search", "x"), ("ingest", CORPUS, "--json"), ("migrate",), ("jobs",)):
        code, out, err = footnote(*command)
        assert (code, out, err.count("\n")) == (2, "", 1), command
        assert says in err
        assert 'database "nowhere" does not exist' in err
    code, out, _ = footnote("doctor")
    assert code == 1
    assert 'database "nowhere" does not exist' in out


def test_a_revision_that_is_none_is_one_line(footnote: Footnote) -> None:
    code, _, err = footnote("migrate", "--revision", "nope")
    assert (code, err.count("\n")) == (2, 1)
    assert "The schema cannot be brought to `nope`: Can't locate revision" in err


def test_an_empty_revision_is_one_line(footnote: Footnote) -> None:
    code, _, err = footnote("migrate", "--revision", " ")
    assert (code, err.count("\n")) == (2, 1)
    assert "The revision is empty" in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
@pytest.mark.parametrize(("where", "says"), [("> /dev/full", "Make room"), ("| true", "")])
def test_output_that_cannot_be_written_ends_in_a_line(where: str, says: str) -> None:
    command = f"set -o pipefail; {sys.executable} -m app.cli --help {where}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == (1 if says else 0)
    assert says == "" or done.returncode == 1


def test_characters_that_the_output_does_not_have_are_escaped() -> None:
    asked = ["prompt", "render", "closed-book", "Wo ist “Müller” 🐐?"]
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", *asked],
        env=os.environ | {"PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=False,
    )
    assert done.stderr == b""
    assert "Wo ist \\u201cMüller\\u201d \\ud83d\\udc10?" in done.stdout.decode("latin-1")


def test_an_argument_that_is_not_text_is_one_line(footnote: Footnote) -> None:
    code, _, err = footnote("search", "M\udcfcller")
    assert (code, err) == (2, "footnote: The argument 'M\\udcfcller' is not UTF-8, which the locale says that it is.\n")


def test_brackets_in_names_are_no_markup(footnote: Footnote, tmp_path: Path) -> None:
    (tmp_path / "lamp.md").write_text("The lamp is seen for twenty miles.")
    (tmp_path / "noise.pdf").write_bytes(b"%PDF-")
    code, _, err = footnote("ingest", tmp_path / "lamp.md", tmp_path / "noise.pdf", "--collection", "[/notes]")
    assert code == 1
    assert "1 documents ingested into “[/notes]”" in err


@pytest.mark.parametrize("name", ["", " ", "x" * 101])
def test_a_collection_that_no_client_could_name_is_not_made(footnote: Footnote, name: str) -> None:
    code, _, err = footnote("ingest", CORPUS, "--collection", name)
    assert (code, "has 1 to 100 characters" in err) == (2, True)
    assert footnote("collections") == (0, "", "")


def test_a_taken_port_is_named_with_a_way_out(footnote: Footnote) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, err = footnote("serve", "--port", port)
    assert code == 2
    assert f"Cannot listen on 127.0.0.1:{port}" in err
    assert "--port" in err


def test_an_embedder_that_does_not_fit_the_index_is_refused(
    footnote: Footnote, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    footnote("ingest", CORPUS, "--json")
    monkeypatch.setenv("FOOTNOTE_EMBEDDER", "local")
    for command in (("serve", "--port", "0"), ("search", "ferry"), ("ingest", CORPUS), ("ask", "ferry?")):
        code, _, err = footnote(*command)
        assert code == 2, command
        assert "their vectors cannot be compared" in err
        assert "FOOTNOTE_EMBEDDER" in err
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT set_config('footnote.workspace_id', '00000000-0000-7000-8000-000000000001', false)")
        assert connection.execute("SELECT count(*) FROM document").fetchone() == (3,), "nothing was lost"


@pytest.mark.parametrize(
    ("variable", "value", "finding", "says"),
    [
        ("FOOTNOTE_CHUNK_TOKENS", "100", "ingestion", "Set FOOTNOTE_CHUNK_TOKENS=200 again"),
        ("FOOTNOTE_TEXT_SEARCH_CONFIG", "klingon", "ingestion", "FOOTNOTE_TEXT_SEARCH_CONFIG is `klingon`"),
        ("FOOTNOTE_PROMPTS_DIR", "/nonexistent", "prompts", "There is no folder /nonexistent"),
    ],
)
def test_doctor_finds_what_ingesting_or_asking_would_stumble_over(
    footnote: Footnote, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, finding: str, says: str
) -> None:
    def found() -> tuple[str, str]:
        findings = {each["name"]: each for each in json.loads(footnote("doctor", "--json")[1])["findings"]}
        return findings[finding]["state"], findings[finding]["detail"]

    footnote("ingest", CORPUS, "--json")
    assert found()[0] == "ok"
    monkeypatch.setenv(variable, value)
    state, detail = found()
    assert (state, says in detail) == ("error", True)
    assert footnote("doctor")[0] == 1


def test_a_text_search_configuration_that_is_none_is_one_line(
    footnote: Footnote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOOTNOTE_TEXT_SEARCH_CONFIG", "klingon")
    code, out, err = footnote("ingest", CORPUS, "--collection", "x1", "--json")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "`auto`" in err
    assert "german, greek" in err
    monkeypatch.delenv("FOOTNOTE_TEXT_SEARCH_CONFIG")
    assert footnote("search", "keeper", "--collection", "x1")[0] == 2, "no empty collection is left"
    monkeypatch.setenv("FOOTNOTE_TEXT_SEARCH_CONFIG", "german")
    assert footnote("ingest", CORPUS, "--collection", "x1")[0] == 0


def test_collections_are_listed_and_deleted(footnote: Footnote, monkeypatch: pytest.MonkeyPatch) -> None:
    footnote("ingest", CORPUS, "--json")
    footnote("ingest", CORPUS, "--collection", "office", "--json")
    assert footnote("collections")[:2] == (0, "default: 3 documents\noffice: 3 documents\n")
    assert json.loads(footnote("collections", "--json")[1].splitlines()[1]) == {"name": "office", "documents": 3}
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    code, _, err = footnote("collections", "--delete", "office")
    assert (code, "with its 3 documents for good? [y/N]" in err) == (1, True)
    code, out, err = footnote("collections", "--delete", "office", "--yes")
    assert (code, out, err) == (0, "", "“office” is deleted, with 3 documents.\n")
    assert footnote("collections")[1] == "default: 3 documents\n"
    code, _, err = footnote("collections", "--delete", "office", "--yes")
    assert (code, "there are: default" in err) == (2, True)


def test_documents_are_listed_and_deleted(footnote: Footnote, monkeypatch: pytest.MonkeyPatch) -> None:
    footnote("ingest", CORPUS, "--json")
    footnote("ingest", CORPUS, "--collection", "office", "--json")
    code, out, err = footnote("documents", "--collection", "office", "--json")
    listed = [json.loads(line) for line in out.splitlines()]
    assert (code, err, {each["collection"] for each in listed}, len(listed)) == (0, "", {"office"}, 3)
    first, *others = listed
    code, out, err = footnote("documents", "--collection", "office", "--limit", "1")
    line, uri = out.splitlines()
    assert re.fullmatch(
        rf"{first['id']}  office: {re.escape(first['title'])} "
        rf"\(chunks {first['chunks']}, updated \d{{4}}-\d\d-\d\d \d\d:\d\d UTC\)",
        line,
    )
    assert (uri, err) == (f"  {first['uri']}", "1 of 3 documents; `--limit 3` shows all of them.\n")
    assert len(footnote("documents")[1].splitlines()) == 12

    nowhere = "00000000-0000-7000-8000-000000000009"
    code, _, err = footnote("documents", "--delete", first["id"], nowhere, "--yes")
    assert (code, f"There is no document {nowhere}; nothing was deleted." in err) == (2, True)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    code, _, err = footnote("documents", "--delete", first["id"])
    assert (code, first["uri"] in err, "Delete 1 document for good? [y/N]" in err) == (1, True, True)
    code, out, err = footnote("documents", "--delete", *(each["id"] for each in others), "--yes")
    assert (code, out, err) == (0, "", "2 documents deleted.\n")
    assert footnote("collections")[1] == "default: 3 documents\noffice: 1 documents\n"
    assert (footnote("documents", first["id"])[0], footnote("documents", "--delete")[0]) == (2, 2)
    assert footnote("documents", "--collection", "nowhere")[0] == 2


def test_another_chunk_size_is_refused(footnote: Footnote, monkeypatch: pytest.MonkeyPatch) -> None:
    footnote("ingest", CORPUS, "--json")
    monkeypatch.setenv("FOOTNOTE_CHUNK_TOKENS", "100")
    code, _, err = footnote("ingest", CORPUS)
    assert code == 2
    assert "FOOTNOTE_CHUNK_TOKENS=200" in err


def test_an_index_with_chunks_of_an_earlier_version_asks_for_a_reindex(footnote: Footnote, database_url: str) -> None:
    footnote("ingest", CORPUS, "--json")
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE index_generation SET chunker = 'structure-v1/200'")
    code, _, err = footnote("ingest", CORPUS)
    assert code == 2
    assert "Run `footnote reindex --chunker structure-v2/200`" in err
    assert "FOOTNOTE_CHUNK_TOKENS" not in err


def test_only_one_of_the_two_urls(footnote: Footnote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL")
    code, _, err = footnote("search", "x")
    assert code == 2
    assert "REDIS_URL is not set" in err
