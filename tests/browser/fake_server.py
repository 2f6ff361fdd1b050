"""Fake server: Footnote's wire format over scripted answers, for what a healthy server never does.

It serves the real page with the real content security policy. Tests script it by question, hold it in the middle of an
answer, let it drop connections or refuse them.
"""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.browser.script import CREATED_AT, DOCUMENTS, Event, Hold, default_script

WIDGET = Path(__file__).resolve().parents[2] / "app" / "widget"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
EMBEDDING_PAGE = """<!doctype html><html lang="en"><title>A page</title>
<style>
  * { color: red; letter-spacing: 1px; } body { font: 30px cursive; text-align: right; text-transform: uppercase; }
  footnote-chat { width: 380px; height: 500px; } button { background: lime; }
</style>
<h1>Someone's page</h1>
<footnote-chat label="Help" collection="handbook" questions="One? | Two?" KEY></footnote-chat>
<script type="module" src="SERVER/widget/footnote.js"></script></html>
"""
POLL_S = 0.005
DELIVERY_S = 0.03  # a connection that breaks earlier takes the events before it along


@dataclass
class FakeRun:
    """A run: the events written so far, and whether someone asked it to stop."""

    id: str
    conversation_id: str
    question: str
    collection: str | None = None
    events: list[Event] = field(default_factory=list)
    stopped: bool = False

    @property
    def state(self) -> str:
        kind = self.events[-1].type if self.events else ""
        return kind.removeprefix("run.") if kind in {"run.completed", "run.cancelled", "run.failed"} else "running"

    def fields(self, kind: str) -> list[dict[str, Any]]:
        return [event.data for event in self.events if event.type == kind]

    def text(self) -> str:
        text = ""
        for event in self.events:
            if event.type == "text.delta":
                text += event.data["text"]
            elif event.type == "text.rewind":
                text = text[: event.data["to"]]
        return text


@dataclass
class FakeServer:
    """The server's state, and its misbehaviour; tests set the fields between requests."""

    scripts: dict[str, Sequence[Event | Hold]] = field(default_factory=dict)
    pace_s: float = 0.01
    """Time between two events."""
    drop_after: list[int] = field(default_factory=list)
    """The next streams break after that many events."""
    refuse_resume: int = 0
    """How many of the next resumes are answered 503."""
    only_asking: bool = False
    """Whether lists are answered 403, as to a key of visitors."""
    problems: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """The next chat requests are answered with these status codes and problems."""
    api_key: str | None = None
    small_model: bool = False
    collection_names: list[str] = field(default_factory=lambda: ["handbook"])
    forget_last_event_id: bool = False
    """Whether resumes begin at the first event, as behind a proxy that strips the header."""
    cancel_works: bool = True
    """Whether a stopped run ends."""
    cancel_problem: dict[str, str] | None = None
    """What a request to stop is answered with, if anything."""
    refuse_rating: bool = False
    """Whether ratings are answered 503."""
    ratings: list[tuple[str, str | None]] = field(default_factory=list)
    """Message ids and what they were rated, None for a rating taken back."""
    comments: list[str] = field(default_factory=list)
    """What was said beside ratings."""
    url: str = ""
    runs: dict[str, FakeRun] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Method, path and headers of every request under /v1."""
    _go: threading.Event = field(default_factory=threading.Event)
    _writers: set[asyncio.Task[None]] = field(default_factory=set)

    def go_on(self) -> None:
        """Let the answers that wait at a `Hold` go on, this time and every next one."""
        self._go.set()

    def last_run(self) -> FakeRun:
        return list(self.runs.values())[-1]

    def requested(self, method: str, path: str) -> list[dict[str, str]]:
        """Headers of the requests made to a path that begins so."""
        return [headers for verb, at, headers in list(self.requests) if verb == method and at.startswith(path)]

    # the endpoints

    async def chat(self, request: Request) -> Response:
        body = await request.json()
        if self.problems:
            status, problem = self.problems.pop(0)
            return JSONResponse({"status": status, **problem}, status, media_type="application/problem+json")
        number = len(self.runs) + 1
        known = body.get("conversation_id")
        if known and known not in self._stored():
            problem = {"code": "conversation_not_found", "title": "Not found", "detail": "Leave the id out."}
            return JSONResponse(problem, 404, media_type="application/problem+json")
        conversation_id = known or f"conversation-{number}"
        run = FakeRun(f"run-{number}", conversation_id, body["message"], body.get("collection"))
        self.runs[run.id] = run
        writer = asyncio.create_task(self._write(run))
        self._writers.add(writer)
        writer.add_done_callback(self._writers.discard)
        return self._stream(run, 0)

    async def run_events(self, request: Request) -> Response:
        if self.refuse_resume > 0:
            self.refuse_resume -= 1
            return JSONResponse({"code": "unavailable", "title": "Away", "detail": "Back soon."}, 503)
        run = self.runs[request.path_params["id"]]
        after = 0 if self.forget_last_event_id else int(request.headers.get("last-event-id", "0"))
        if run.state != "running" and after >= len(run.events):
            return Response(status_code=204)
        return self._stream(run, after)

    async def cancel(self, request: Request) -> Response:
        if self.cancel_problem:
            return JSONResponse(self.cancel_problem, 503)
        run = self.runs[request.path_params["id"]]
        run.stopped = self.cancel_works
        return JSONResponse({"state": "cancelled", "text_chars": len(run.text())})

    async def conversations(self, request: Request) -> Response:
        listed = [{key: value for key, value in item.items() if key != "messages"} for item in self._stored().values()]
        listed.reverse()
        before = request.query_params.get("before")
        start = next((place for place, item in enumerate(listed, 1) if item["id"] == before), 0)
        limit = int(request.query_params.get("limit", "50"))
        return JSONResponse({"conversations": listed[start : start + limit]})

    async def conversation(self, request: Request) -> Response:
        stored = self._stored()
        id_ = request.path_params["id"]
        if id_ not in stored:
            return JSONResponse({"code": "conversation_not_found", "title": "Not found", "detail": "Gone."}, 404)
        if request.method == "DELETE":
            self.runs = {key: run for key, run in self.runs.items() if run.conversation_id != id_}
            return Response(status_code=204)
        return JSONResponse(stored[id_])

    async def document(self, request: Request) -> Response:
        document = DOCUMENTS.get(request.path_params["id"])
        if document is None:
            return JSONResponse({"code": "document_not_found", "title": "Not found", "detail": "Gone."}, 404)
        return JSONResponse(document.as_json())

    async def collections(self, _: Request) -> Response:
        return JSONResponse({"collections": [{"name": name, "documents": 2} for name in self.collection_names]})

    async def about(self, _: Request) -> Response:
        hint = "Set FOOTNOTE_CHAT_MODEL to gguf:PATH or ollama:NAME and start again." if self.small_model else None
        model = {"name": "scripted", "small": self.small_model}
        return JSONResponse({"version": "0", "chat_model": model, "embedder": "none", "hint": hint})

    async def embed(self, request: Request) -> Response:
        """Someone else's page, with loud styles, that embeds the widget of the server at `from`, given `key`."""
        key = request.query_params.get("key")
        attribute = f'api-key="{key}"' if key else ""
        page = EMBEDDING_PAGE.replace("SERVER", request.query_params["from"]).replace("KEY", attribute)
        return Response(page, media_type="text/html")

    # runs

    async def _write(self, run: FakeRun) -> None:
        ids = {"run_id": run.id, "conversation_id": run.conversation_id, "message_id": f"answer-{run.id}"}
        run.events.append(Event("run.started", {**ids, "created_at": CREATED_AT}))
        for step in self.scripts.get(run.question, default_script()):
            while isinstance(step, Hold) and not self._go.is_set() and not run.stopped:
                await asyncio.sleep(POLL_S)
            if run.stopped:
                run.events.append(Event("run.cancelled", {}))
                return
            if isinstance(step, Event):
                await asyncio.sleep(self.pace_s)
                run.events.append(step)

    def _stream(self, run: FakeRun, after: int) -> StreamingResponse:
        drop = self.drop_after.pop(0) if self.drop_after else None
        headers = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no", "X-Run-Id": run.id}
        return StreamingResponse(self._encode(run, after, drop), media_type="text/event-stream", headers=headers)

    async def _encode(self, run: FakeRun, after: int, drop: int | None) -> AsyncIterator[bytes]:
        yield b": hello\nretry: 50\n\n"
        sent = 0
        while sent != drop:
            if after < len(run.events):
                event = run.events[after]
                after += 1
                data = json.dumps(event.data, ensure_ascii=False)
                yield f"id: {after}\nevent: {event.type}\ndata: {data}\n\n".encode()
                sent += 1
            elif run.state != "running":
                return
            else:
                await asyncio.sleep(POLL_S)
        await asyncio.sleep(DELIVERY_S)
        raise ConnectionError("dropped, as the test wants")

    def _stored(self) -> dict[str, dict[str, Any]]:
        stored: dict[str, dict[str, Any]] = {}
        for run in self.runs.values():
            summary = {"id": run.conversation_id, "title": run.question[:80], "collection": None}
            times = {"created_at": CREATED_AT, "updated_at": CREATED_AT}
            item = stored.setdefault(run.conversation_id, {**summary, **times, "messages": []})
            item["messages"] += self._messages(run)
        return stored

    def _messages(self, run: FakeRun) -> list[dict[str, Any]]:
        question = {"id": f"question-{run.id}", "role": "user", "text": run.question, "created_at": CREATED_AT}
        answer = {
            "id": f"answer-{run.id}",
            "role": "assistant",
            "text": run.text(),
            "created_at": CREATED_AT,
            "run_id": run.id,
            "state": run.state,
            "finish_reason": next((data["finish_reason"] for data in run.fields("run.completed")), None),
            "problem": next((data["problem"] for data in run.fields("run.failed")), None),
            "citations": run.fields("citation"),
            "passages": next((data["passages"] for data in run.fields("retrieval.completed")), []),
        }
        return [question, answer]

    async def feedback(self, request: Request) -> Response:
        if self.refuse_rating:
            problem = {"code": "database_unavailable", "title": "Away", "detail": "PostgreSQL is not reachable."}
            return JSONResponse(problem, 503)
        body = await request.json() if request.method == "PUT" else {}
        rating = body.get("rating")
        self.comments += [body["comment"]] if "comment" in body else []
        self.ratings.append((request.path_params["id"], rating))
        return JSONResponse({"rating": rating}) if rating else Response(status_code=204)

    # the application

    def app(self) -> ASGIApp:
        routes = [
            Route("/", lambda _: FileResponse(WIDGET / "index.html", headers={"Content-Security-Policy": CSP})),
            Route("/v1/chat", self.chat, methods=["POST"]),
            Route("/v1/runs/{id}/events", self.run_events),
            Route("/v1/runs/{id}/cancel", self.cancel, methods=["POST"]),
            Route("/v1/conversations", self.conversations),
            Route("/v1/conversations/{id}", self.conversation, methods=["GET", "DELETE"]),
            Route("/v1/messages/{id}/feedback", self.feedback, methods=["PUT", "DELETE"]),
            Route("/v1/documents/{id}", self.document),
            Route("/v1/collections", self.collections),
            Route("/v1/about", self.about),
            Route("/embed", self.embed),
            Mount("/widget", StaticFiles(directory=WIDGET / "static")),
        ]
        inner = Starlette(routes=routes)
        open_to_all = CORSMiddleware(inner, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])

        async def outer(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["path"].startswith("/v1"):
                headers = {key.decode(): value.decode() for key, value in scope["headers"]}
                self.requests.append((scope["method"], scope["path"], headers))
                if self.api_key and headers.get("authorization") != f"Bearer {self.api_key}":
                    problem = {"code": "unauthenticated", "title": "A key is needed", "detail": "Send one."}
                    await JSONResponse(problem, 401)(scope, receive, send)
                    return
                if self.only_asking and scope["path"] in {"/v1/conversations", "/v1/collections"}:
                    await Response("Forbidden", 403)(scope, receive, send)
                    return
            await open_to_all(scope, receive, send)

        return outer


@contextmanager
def serving(fake: FakeServer) -> Iterator[FakeServer]:
    """Serve on a free loopback port, in a thread, until the block ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(fake.app(), log_level="critical", ws="none", lifespan="off", timeout_graceful_shutdown=0)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(POLL_S)
    fake.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        yield fake
    finally:
        fake.go_on()
        server.should_exit = True
        thread.join()
        listener.close()
