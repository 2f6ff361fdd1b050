"""MCP with the official client, over HTTP and over standard input and output."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from pydantic import SecretStr
from structlog.testing import capture_logs

from app.embedded.connect import environment_of
from app.settings import Settings
from tests.fixtures.server import Server

QUESTION = "When does the ferry to Holm Island leave?"
KEY = "a-key-that-is-long-enough"


def command(settings: Settings) -> StdioServerParameters:
    environment = environment_of(settings) | {
        "FOOTNOTE_CHAT_MODEL": "scripted",
        "FOOTNOTE_EMBEDDER": "scripted",
        "FOOTNOTE_MIN_EVIDENCE": "0",
    }
    return StdioServerParameters(
        command=sys.executable, args=["-m", "app.cli", "mcp"], env=environment, cwd=str(Path.cwd())
    )


@pytest.fixture(params=["http", "http, legacy", "stdio"])
def connect(
    request: pytest.FixtureRequest, settings: Settings, serve: Callable[[Settings], Server], corpus: object
) -> Callable[[], Client]:
    """Makes clients of each transport, and of the protocol before 2026."""
    target: Any = command(settings) if request.param == "stdio" else f"{serve(settings).url}/mcp"
    return lambda: Client(target, mode="legacy" if "legacy" in request.param else "auto")


def content(result: Any) -> dict[str, Any]:
    """The JSON of the only content item."""
    assert not result.is_error, result
    (item,) = result.content
    assert item.type == "text"
    parsed: dict[str, Any] = json.loads(item.text)
    return parsed


async def test_tools_and_documents(connect: Callable[[], Client]) -> None:
    async with connect() as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"search", "fetch", "ask"}
        assert tools["search"].input_schema["required"] == ["query"]
        found = content(await client.call_tool("search", {"query": "ferry Holm Island"}))["results"]
        assert all(set(result) == {"id", "title", "url"} for result in found)
        assert len({result["id"] for result in found}) == len(found), "each document once"
        fetched = content(await client.call_tool("fetch", {"id": found[0]["id"]}))
        assert {**found[0], "text": fetched["text"], "metadata": fetched["metadata"]} == fetched
        assert "ferry" in fetched["text"].lower()
        resources = (await client.list_resources()).resources
        assert {resource.title for resource in resources} >= {result["title"] for result in found}
        read = await client.read_resource(f"footnote://documents/{found[0]['id']}")
        assert read.contents[0].text == fetched["text"]  # type: ignore[union-attr]
        assert (await client.list_resource_templates()).resource_templates[
            0
        ].uri_template == "footnote://documents/{id}"


async def test_ask_answers_with_footnotes_and_tells_its_progress(connect: Callable[[], Client]) -> None:
    async with connect() as client:
        told: list[tuple[float, str | None]] = []

        async def progress(progress: float, total: float | None, message: str | None) -> None:
            told.append((progress, message))

        result = await client.call_tool("ask", {"question": f"{QUESTION} [[tokens=60]]"}, progress_callback=progress)
        answer = content(result)
        assert "[1]" in answer["answer"]
        assert answer["footnotes"][0]["index"] == 1
        assert answer["footnotes"][0]["quote"]
        assert answer["finish_reason"] == "stop"
        assert [characters for characters, _ in told] == sorted(characters for characters, _ in told)
        assert told[0][1] == "writing the answer"
        again = {"question": "And the dogs?", "conversation_id": answer["conversation_id"]}
        assert content(await client.call_tool("ask", again))["conversation_id"] == answer["conversation_id"]


FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("search", {}, "query"),
    ("search", {"query": "x", "collection": "nope"}, "footnote ingest PATH --collection nope"),
    ("fetch", {"id": "nothing"}, "`search` gives ids"),
    ("fetch", {"id": "01a21ab9-8cb3-774f-b015-84bef1755470"}, "no document"),
    ("ask", {"question": "\x00"}, "the question is empty"),
    ("ask", {"question": "x" * 8001}, "the limit is 8000"),
    ("ask", {"question": f"{QUESTION} [[fail-first]]"}, "scripted model failed"),
    ("sing", {}, "search, fetch, ask"),
]


async def test_faults_are_results_that_say_what_to_do(connect: Callable[[], Client]) -> None:
    async with connect() as client:
        for tool, arguments, says in FAULTS:
            result = await client.call_tool(tool, arguments)
            assert result.is_error
            assert says in result.content[0].text  # type: ignore[union-attr]


async def test_unknown_resources_are_errors_of_the_protocol(connect: Callable[[], Client]) -> None:
    async with connect() as client:
        for uri in ("file:///etc/passwd", "footnote://documents/nothing"):
            with pytest.raises(MCPError) as raised:
                await client.read_resource(uri)
            assert raised.value.error.code == -32602


async def test_a_nul_is_a_space_and_far_pages_are_refused(connect: Callable[[], Client]) -> None:
    async with connect() as client:
        asked = await client.call_tool("ask", {"question": f"{QUESTION}\x00"})
        assert "07:00" in content(asked)["answer"]
        for cursor in ("9" * 20, "9" * 5000, "-1", "next"):
            with pytest.raises(MCPError, match="There is no page") as raised:
                await client.list_resources(cursor=cursor)
            assert raised.value.error.code == -32602


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_what_nobody_expected_is_logged_and_not_told(
    mode: Any, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_given: object, **_named: object) -> None:
        raise RuntimeError("SELECT secret FROM somewhere")

    monkeypatch.setattr(server.services.documents, "page", broken)
    monkeypatch.setattr(server.services.documents, "text", broken)
    async with Client(f"{server.url}/mcp", mode=mode) as client:
        with capture_logs() as logs:
            for asking in (
                lambda: client.list_resources(),
                lambda: client.read_resource("footnote://documents/01a21ab9-8cb3-774f-b015-84bef1755470"),
                lambda: client.call_tool("fetch", {"id": "01a21ab9-8cb3-774f-b015-84bef1755470"}),
            ):
                with pytest.raises(MCPError) as raised:
                    await asking()
                assert raised.value.error.code == -32603
                assert raised.value.error.message == "The server's log has more."
        assert [str(entry["exc_info"]) for entry in logs] == ["SELECT secret FROM somewhere"] * 3


async def test_a_server_with_keys_asks_for_one(settings: Settings, serve: Callable[[Settings], Server]) -> None:
    url = f"{serve(settings.model_copy(update={'api_keys': (SecretStr(KEY),)})).url}/mcp"
    async with httpx.AsyncClient() as bare:
        refused = await bare.post(url, json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    assert refused.status_code == 401
    assert refused.json()["code"] == "unauthenticated"
    async with (
        httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}) as keyed,
        Client(streamable_http_client(url, http_client=keyed)) as client,
    ):
        assert len((await client.list_tools()).tools) == 3


@pytest.mark.usefixtures("corpus")
@pytest.mark.parametrize("over", ["http", "stdio"])
async def test_a_call_that_is_given_up_stops_the_answer(
    over: str, settings: Settings, serve: Callable[[Settings], Server]
) -> None:
    target: Any = command(settings)
    if over == "http":
        target = f"{serve(settings.model_copy(update={'scripted_tokens_per_s': 20})).url}/mcp"
    else:
        target.env = {**(target.env or {}), "FOOTNOTE_SCRIPTED_TOKENS_PER_S": "20"}
    async with Client(target) as client:
        with anyio.move_on_after(2):
            await client.call_tool("ask", {"question": f"{QUESTION} [[tokens=400]]"})
            raise AssertionError("it takes longer than that")
        await anyio.sleep(1)
    import psycopg

    with psycopg.connect(settings.database_url.get_secret_value()) as connection:  # type: ignore[union-attr]
        states = connection.execute("SELECT state FROM run").fetchall()
    assert states == [("cancelled",)]
