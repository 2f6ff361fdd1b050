"""Dialects together: one running answer read in all of them, and what their clients make of a rewind."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import httpx
import openai
import pytest

from app.api.encoders.ag_ui import AgUiEvents
from app.api.encoders.ai_sdk import UIMessageStream
from app.api.encoders.encoder import Encoder
from app.api.encoders.openai_chat import ChatCompletionChunks
from app.api.encoders.openai_responses import ResponseEvents
from app.domain.run import RunCompleted, RunEvent, RunStarted, TextDelta, TextRewind
from app.settings import Settings
from tests.fixtures.server import Server, chat, text_of

QUESTION = "When does the ferry to Holm Island leave?"


def values(body: str, kind: str, key: str) -> str:
    """The parts of that type joined."""
    frames = [json.loads(line.removeprefix("data: ")) for line in body.splitlines() if line.startswith("data: {")]
    return "".join(frame[key] for frame in frames if frame["type"] == kind)


@pytest.mark.usefixtures("corpus")
async def test_a_running_answer_is_read_in_every_dialect(
    settings: Settings, serve: Callable[[Settings], Server]
) -> None:
    server = serve(settings.model_copy(update={"scripted_tokens_per_s": 50}))
    async with server.client() as client:
        asking = asyncio.create_task(chat(client, f"{QUESTION} [[tokens=60]]"))
        while not (listed := (await client.get("/v1/conversations")).json()["conversations"]):
            await asyncio.sleep(0.05)
        conversation_id = listed[0]["id"]
        stored = (await client.get(f"/v1/conversations/{conversation_id}")).json()["messages"]
        run_id = stored[1]["run_id"]
        assert stored[1]["state"] == "running"
        completion, response, ai_sdk, ag_ui = await asyncio.gather(
            client.get(f"/v1/chat/completions/chatcmpl-{run_id}"),
            client.get(f"/v1/responses/resp_{run_id}?stream=true"),
            client.get(f"/v1/ai-sdk/chat/{conversation_id}/stream"),
            client.get(f"/v1/ag-ui/{conversation_id}/stream"),
        )
        text = text_of(await asking)
    assert len(text.split()) == 60
    assert completion.json()["choices"][0]["message"]["content"] == text
    assert values(response.text, "response.output_text.delta", "delta") == text
    assert values(ai_sdk.text, "text-delta", "delta") == text
    assert values(ag_ui.text, "TEXT_MESSAGE_CONTENT", "delta") == text
    assert {r.headers["x-run-id"] for r in (completion, response, ai_sdk, ag_ui)} == {run_id}


IDS = "01990000-0000-7000-8000-00000000000{}"
REWOUND: list[RunEvent] = [
    RunStarted(IDS.format(1), IDS.format(2), IDS.format(3), datetime(2026, 11, 20, tzinfo=UTC)),
    TextDelta("The ferry leaves"),
    TextDelta(" at dawn."),
    TextRewind(16),
    TextDelta(" every hour."),
    RunCompleted("stop"),
]
WHOLE = "The ferry leaves every hour."


def encoded(encoder: Encoder) -> bytes:
    sent = b""
    for event_id, event in enumerate(REWOUND, start=1):
        sent += b"" if encoder.ended else encoder.feed(event, event_id)
    return sent


BODIES: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "/v1/chat/completions": lambda body: encoded(ChatCompletionChunks("m", include_usage=False)),
    "/v1/responses": lambda body: encoded(ResponseEvents({"model": "m"})),
    "/v1/ai-sdk/chat": lambda body: encoded(UIMessageStream()),
    "/v1/ag-ui": lambda body: encoded(AgUiEvents(body["threadId"], body["runId"], body["messages"])),
}


class Rewinding(BaseHTTPRequestHandler):
    """Answers every question with the same rewound answer."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(BODIES[self.path](body))

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def rewinding() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Rewinding) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_rewound_answer_in_the_clients_hands(rewinding: str, node: Callable[..., Any]) -> None:
    with openai.OpenAI(base_url=f"{rewinding}/v1", api_key="any", max_retries=0) as sdk:
        seen = ""
        asked: Any = [{"role": "user", "content": QUESTION}]
        with pytest.raises(openai.APIError, match="no longer stands") as rewound:  # noqa: PT012
            for chunk in sdk.chat.completions.create(model="m", messages=asked, stream=True):
                seen += chunk.choices[0].delta.content or ""
        assert (seen, rewound.value.code) == ("The ferry leaves at dawn.", "answer_rewound")
        with sdk.responses.stream(model="m", input=QUESTION) as stream:
            assert stream.get_final_response().output_text == WHOLE
    message = node("ai-sdk.mjs", "once", rewinding)["message"]
    texts = [part["text"] for part in message["parts"] if part["type"] == "text"]
    assert texts == ["The ferry leaves at dawn.", WHOLE]
    assert [part["data"] for part in message["parts"] if part["type"] == "data-rewind"] == [{"standing": "text-1"}]
    done = node("ag-ui.mjs", "once", rewinding)
    assert done["failure"] is None
    assert [message["content"] for message in done["messages"]] == [QUESTION, WHOLE]


ASKED = "/v1/chat/completions", "/v1/responses", "/v1/ai-sdk/chat", "/v1/ag-ui"


def body_of(path: str, *said: str, parts: bool = False) -> dict[str, Any]:
    """A request of that dialect; users and assistants speak in turn."""
    roles = ["user", "assistant"] * len(said)
    if path == "/v1/ai-sdk/chat":
        messages = [
            {"role": role, "parts": [{"type": "text", "text": text}]} for role, text in zip(roles, said, strict=False)
        ]
        return {"id": str(uuid4()), "messages": messages}
    kind = "input_text" if path == "/v1/responses" else "text"
    turns = [
        {"role": role, "content": [{"type": kind, "text": text}] if parts else text}
        for role, text in zip(roles, said, strict=False)
    ]
    if path == "/v1/responses":
        return {"input": turns}
    return {"messages": turns} | ({"threadId": str(uuid4()), "runId": "1"} if path == "/v1/ag-ui" else {})


async def post(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> httpx.Response:
    """Send it as JSON in ASCII, in which half a surrogate pair can be said."""
    return await client.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})


@pytest.mark.parametrize("path", ASKED)
@pytest.mark.usefixtures("corpus")
async def test_half_a_character_is_refused_and_a_nul_is_a_space(client: httpx.AsyncClient, path: str) -> None:
    for parts in (False, True):
        for said in (["half \ud83d"], ["half \ud83d", "Yes.", QUESTION]):
            response = await post(client, path, body_of(path, *said, parts=parts))
            assert response.status_code == 422, response.text
            assert "half a surrogate pair at character 5; send whole characters" in response.text
        for said in ([f"{QUESTION}\x00"], ["Hel\x00lo.", "Yes.", QUESTION]):
            response = await post(client, path, body_of(path, *said, parts=parts))
            assert response.status_code == 200, response.text
    stored = (await client.get("/v1/conversations")).json()["conversations"]
    assert len(stored) == 4, "what was refused began nothing"


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/ag-ui", "/v1/chat/completions"])
async def test_what_is_no_message_is_refused(client: httpx.AsyncClient, path: str) -> None:
    field = "input" if path == "/v1/responses" else "messages"
    for wrong, says in (
        ({"role": "critic", "content": "Hi."}, f"{field}.0.role"),
        ({"content": "Hi."}, f"{field}.0.role"),
        ({"role": "user", "content": 5}, f"{field}.0.content"),
        ({"role": "user", "content": [{"type": ["a"], "text": "Hi."}]}, "something other than text"),
        ({"role": "user", "content": [{"type": {"a": 1}, "text": "Hi."}]}, "something other than text"),
    ):
        response = await post(client, path, body_of(path, "") | {field: [wrong]})
        assert response.status_code == 422, response.text
        assert says in response.text
        problem = response.json()
        assert (problem if path == "/v1/ag-ui" else problem["error"])["code"] == "invalid_input"


async def test_a_thread_has_a_name_that_can_be_stored(client: httpx.AsyncClient) -> None:
    for response in (
        await post(client, "/v1/ai-sdk/chat", body_of("/v1/ai-sdk/chat", QUESTION) | {"id": "a\x00b"}),
        await post(client, "/v1/ag-ui", body_of("/v1/ag-ui", QUESTION) | {"threadId": "a\x00b"}),
        await client.get("/v1/ai-sdk/chat/a%00b"),
        await client.get("/v1/ai-sdk/chat/a%00b/stream"),
        await client.get("/v1/ag-ui/a%00b/stream"),
        await client.post("/v1/ag-ui/a%00b/stop"),
    ):
        assert response.status_code == 422, response.text
        assert "cannot hold a NUL" in response.text


async def test_half_a_character_beside_the_question(client: httpx.AsyncClient) -> None:
    metadata = body_of("/v1/responses", QUESTION) | {"metadata": {"k\ud83d": "v\ud83d"}}
    tool = body_of("/v1/ag-ui", QUESTION)
    tool["messages"].insert(0, {"role": "tool", "toolCallId": "\ud83d", "content": "{}"})
    for path, body in (("/v1/responses", metadata), ("/v1/ag-ui", tool), ("/v1/embeddings", {"input": "\ud83d"})):
        response = await post(client, path, body)
        assert response.status_code == 422, response.text
        assert "half a surrogate pair" in response.text


async def test_null_is_the_default_where_the_protocol_takes_it(client: httpx.AsyncClient) -> None:
    for path, nulls in (
        ("/v1/chat/completions", {"stream": None, "stream_options": None}),
        ("/v1/chat/completions", {"stream_options": {"include_usage": None}}),
        ("/v1/responses", {"stream": None, "background": None}),
    ):
        response = await post(client, path, body_of(path, QUESTION) | nulls)
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "application/json"
        assert response.json()["usage"] is not None
    chunks = await post(
        client,
        "/v1/chat/completions",
        body_of("/v1/chat/completions", QUESTION) | {"stream": True, "stream_options": {"include_usage": None}},
    )
    assert '"choices":[]' not in chunks.text
    vectors = await post(client, "/v1/embeddings", {"input": "hi", "encoding_format": None})
    assert isinstance(vectors.json()["data"][0]["embedding"], list)


PAGE = "https://www.example.org"


async def test_clients_in_pages_of_a_listed_origin(settings: Settings, serve: Callable[[Settings], Server]) -> None:
    limits = {"allowed_origins": (PAGE,), "runs_per_minute": 1}
    async with serve(settings.model_copy(update=limits)).client() as client:

        async def preflight(path: str, method: str, headers: str, origin: str = PAGE) -> httpx.Response:
            asks = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
            return await client.options(path, headers=asks | {"Origin": origin})

        for path, method, headers in (
            ("/v1/chat/completions", "POST", "authorization,content-type,user-agent,x-stainless-lang,x-stainless-os"),
            ("/mcp", "POST", "authorization,content-type,mcp-protocol-version,mcp-session-id"),
            ("/v1/runs/1/events", "GET", "last-event-id"),
        ):
            allowed = await preflight(path, method, headers)
            assert allowed.status_code == 200, allowed.text
            assert allowed.headers["access-control-allow-origin"] == PAGE
            assert allowed.headers["access-control-allow-headers"] == headers
            assert "access-control-allow-credentials" not in allowed.headers
        refused = await preflight("/v1/chat/completions", "POST", "authorization", "https://evil.example")
        assert refused.status_code == 400
        assert "access-control-allow-origin" not in refused.headers

        question = body_of("/v1/chat/completions", QUESTION)
        for status in (200, 429):
            response = await client.post("/v1/chat/completions", json=question, headers={"Origin": PAGE})
            assert response.status_code == status
            exposed = response.headers["access-control-expose-headers"].lower().split(", ")
            assert {"x-run-id", "retry-after", "location", "x-should-retry"} <= set(exposed)
        assert "retry-after" in response.headers
