"""The suite `qa:` asked over HTTP: a real server, the same measures as in process, and every way to fail."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

import evals.remote
from app.domain.conversation import ChatMessage
from app.domain.errors import Unavailable
from app.domain.run import RunCompleted, RunStarted, TextDelta
from app.services.outcome import AnswerSoFar
from app.settings import Settings
from evals.datasets.questions import AskedQuestion
from evals.remote import open_remote
from tests.evals.asking import QUESTIONS, ask, suite
from tests.evals.conftest import Footnote
from tests.fixtures.server import Server

Serve = Callable[[Settings], Server]
TIMES = {"ms", "first_text_ms"}
KEY = "a-key-of-the-tests-0123456789"


def without_times(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in TIMES}


def test_both_ways_measure_the_same(
    footnote: Footnote,
    island: Path,
    settings: Settings,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("FOOTNOTE_CHAT_MODEL", "extractive")
    monkeypatch.setenv("FOOTNOTE_MIN_EVIDENCE", "0")
    here = ask(footnote, island, QUESTIONS)
    (tmp_path / "report.json").rename(tmp_path / "here.json")
    server = serve(settings.model_copy(update={"chat_model": "extractive"}))
    there = ask(footnote, island, QUESTIONS, "--url", server.url, "--concurrency", 3)

    same = ("suite", "fingerprint", "corpus", "leg", "queries", "failed", "unreviewed")
    assert {name: there[name] for name in same} == {name: here[name] for name in same}
    assert without_times(there["metrics"]) == without_times(here["metrics"])
    for question, measured in here["per_query"].items():
        assert without_times(there["per_query"][question]) == without_times(measured)
    assert there["per_query"]["lamp"]["citation_recall"] == 1
    assert 0 < there["per_query"]["lamp"]["first_text_ms"] <= there["per_query"]["lamp"]["ms"]
    assert there["settings"] == {"collection": "island", "limit": None, "url": server.url, "version": "0.1.0"}
    assert httpx.get(f"{server.url}/v1/conversations").json() == {"conversations": []}

    out = tmp_path / "gate.json"
    both = ("--baseline", tmp_path / "here.json", "--head", tmp_path / "report.json")
    code, _, err = footnote("eval", "gate", *both, "--json", out)
    assert code == 0, err
    assert json.loads(out.read_text())["changed"] == {"url": [None, server.url]}


def test_a_question_that_fails_stops_no_other(
    footnote: Footnote, island: Path, settings: Settings, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither does a server that lets one answer be written at a time."""
    monkeypatch.setattr("app.storage.run_creation.RETRY_AFTER_S", 1)
    server = serve(settings.model_copy(update={"runs_at_once": 1, "scripted_tokens_per_s": 500}))
    report = ask(footnote, island, QUESTIONS, "--url", server.url, "--concurrency", 4)
    assert (report["leg"], report["queries"], report["failed"]) == ("scripted", 5, 1)
    assert "as the question told it to" in report["per_query"]["fails"]["failure"]
    assert report["per_query"]["lamp"]["answer"].startswith("The lamp turns once")
    assert httpx.get(f"{server.url}/v1/conversations").json() == {"conversations": []}


def test_a_key_comes_out_of_the_environment(
    footnote: Footnote, island: Path, settings: Settings, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(settings.model_copy(update={"api_keys": (SecretStr(KEY),)}))
    asked = ("eval", "run", "--suite", suite(island, QUESTIONS[:1]), "--collection", "island", "--url", server.url)
    monkeypatch.setenv("THE_KEY", "another-key-of-the-tests")
    for options, message in (
        ((), "wants an API key"),
        (("--api-key-from-env", "THE_KEY"), "wants an API key, and not this one"),
        (("--api-key-from-env", "NO_KEY"), "variable NO_KEY, which --api-key-from-env names, is not set"),
    ):
        code, _, err = footnote(*asked, *options)
        assert (code, message in err) == (2, True), err
    monkeypatch.setenv("THE_KEY", KEY)
    report = ask(footnote, island, QUESTIONS[:1], "--url", server.url, "--api-key-from-env", "THE_KEY")
    assert report["failed"] == 0
    assert KEY not in json.dumps(report)


def test_what_is_wrong_with_the_collection_or_the_suite_is_said(
    footnote: Footnote, island: Path, server: Server
) -> None:
    asked = ("eval", "run", "--suite", suite(island, QUESTIONS), "--url", server.url)
    code, _, err = footnote(*asked, "--collection", "mainland")
    assert (code, "no collection named 'mainland'" in err) == (2, True), err
    assert err.rstrip().endswith("it has: island.")
    code, _, err = footnote("eval", "run", "--suite", "beir:somewhere", "--url", server.url)
    assert (code, "--url is for the suite qa:" in err) == (2, True)
    for url in ("no address", "http://127.0.0.1:99999"):
        asked = ("eval", "run", "--suite", suite(island, [QUESTIONS[2]]), "--url", url, "--collection", "island")
        code, _, err = footnote(*asked)
        assert (code, "it takes http://HOST:PORT" in err) == (2, True)


@contextmanager
def canned(replies: dict[str, Any]) -> Iterator[str]:
    """A server that answers these paths with this JSON, and others with 404."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = replies.get(self.path.partition("?")[0])
            self.send_response(200 if found is not None else 404)
            self.end_headers()
            self.wfile.write(json.dumps(found).encode() if found is not None else b"<html>nothing here</html>")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Nothing is written."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


ABOUT = {"version": "0.0.1", "chat_model": {"name": "scripted", "small": False}}
THERE = {"/v1/about": ABOUT, "/v1/collections": {"collections": [{"name": "island", "documents": 1}]}}
OLD = {"id": "1", "collection": "island", "uri": "a.md", "title": "A", "media_type": "text/plain", "chunks": 1}


@pytest.mark.parametrize(
    ("replies", "message"),
    [
        (None, "cannot be reached"),
        ({}, "GET /v1/about was answered with 404: <html>nothing here</html>. Is this a Footnote's address"),
        ({"/v1/about": {"name": "another"}}, "does not answer as this version of Footnote does"),
        (THERE | {"/v1/documents": {"documents": [OLD]}}, "missing required field `content_hash`"),
        (THERE | {"/v1/documents": {"documents": []}, "/v1/chat": {}}, "names no run in X-Run-Id"),
    ],
    ids=["unreachable", "no Footnote", "another service", "too old", "without its header"],
)
def test_a_server_that_cannot_be_asked(
    footnote: Footnote, tmp_path: Path, replies: dict[str, Any] | None, message: str
) -> None:
    with canned(replies or {}) as url:
        asked = "http://127.0.0.1:1" if replies is None else url
        options = ("--suite", suite(tmp_path / "texts", QUESTIONS[2:3]), "--collection", "island", "--url", asked)
        code, _, err = footnote("eval", "run", *options)
    assert (code, message in " ".join(err.split())) == (2, True), err
    assert "Traceback" not in err


@asynccontextmanager
async def cutting(port: int, cuts: int) -> AsyncIterator[str]:
    """A way to the server on which so many streams are cut, each in the middle of its first piece of text."""
    left, handling = cuts, list[asyncio.Task[None] | None]()

    async def forward(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):  # whoever has what it asked for may hang up in any way
            while data := await source.read(65536):
                sink.write(data)
        sink.close()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        handling.append(asyncio.current_task())
        answers, upstream = await asyncio.open_connection("127.0.0.1", port)
        asking = asyncio.create_task(forward(reader, upstream))
        while data := await answers.read(65536):
            if left and (at := data.find(b"event: text.delta")) >= 0:
                left -= 1
                writer.write(data[: at + 30])
                break
            writer.write(data)
        writer.close()
        upstream.close()
        await asking

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.gather(*filter(None, handling))


@pytest.mark.parametrize("history", [(), (ChatMessage("user", "Is there a ferry?"), ChatMessage("assistant", "Yes."))])
@pytest.mark.usefixtures("corpus")
async def test_a_stream_that_breaks_off_is_resumed(
    server: Server, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, history: tuple[ChatMessage, ...]
) -> None:
    monkeypatch.setattr(evals.remote, "RESUME_AFTER_S", 0)
    asked = AskedQuestion("q", "When does the ferry to Holm Island leave? [[tokens=50]]", history=history)
    answers = []
    for cuts in (0, 3):
        async with (
            cutting(httpx.URL(server.url).port or 0, cuts) as url,
            open_remote(url) as service,
            aclosing(service.ask(asked, "default")) as events,
        ):
            answers.append([event async for event in events])
    whole, resumed = ([e for e in answer if not isinstance(e, RunStarted)] for answer in answers)
    assert resumed == whole
    assert sum(isinstance(event, TextDelta) for event in whole) > 10
    assert isinstance(whole[-1], RunCompleted)
    folded = AnswerSoFar()
    for event in resumed:
        folded.add(event)
    assert folded.passages
    assert folded.citations
    assert folded.usage is not None
    assert (await client.get("/v1/conversations")).json() == {"conversations": []}


@pytest.mark.usefixtures("corpus")
async def test_a_stream_that_cannot_be_resumed_is_given_up(
    server: Server, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evals.remote, "RESUME_AFTER_S", 0)
    asked = AskedQuestion("q", "When does the ferry to Holm Island leave? [[tokens=50]]")
    async with cutting(httpx.URL(server.url).port or 0, 1000) as url, open_remote(url) as service:
        with pytest.raises(Unavailable, match="broke off and could not be resumed"):
            async with aclosing(service.ask(asked, "default")) as events:
                assert not [event async for event in events if isinstance(event, TextDelta)]
    assert (await client.get("/v1/conversations")).json() == {"conversations": []}
