"""The handbook's page about other clients: its snippets are run as they stand there."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.node import run_node
from tests.fixtures.openai_clients import close_clients
from tests.fixtures.server import Server

DOCS = Path(__file__).resolve().parents[3] / "docs"
SNIPPETS = re.findall(r"^```(python|js)\n(.*?)^```", (DOCS / "clients.md").read_text(), re.MULTILINE | re.DOTALL)


def test_the_python_snippets_answer(
    server: Server, ingest: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    ingest(DOCS / "install.md", DOCS / "ask.md", collection="handbook")
    snippets = [source for language, source in SNIPPETS if language == "python"]
    assert len(snippets) == 6
    for source in snippets:
        names: dict[str, Any] = {}
        exec(compile(source.replace("http://127.0.0.1:8000", server.url), "clients.md", "exec"), names)
        close_clients(*names.values())
        assert len(capsys.readouterr().out) > 1, source


def test_the_javascript_snippets_answer(server: Server, corpus: Any, node: Callable[..., Any]) -> None:
    snippets = [source for language, source in SNIPPETS if language == "js"]
    assert len(snippets) == 2
    for source in snippets:
        said = run_node("--input-type=module", "-", stdin=source.replace("http://127.0.0.1:8000", server.url))
        assert len(said.split()) > 5, source
