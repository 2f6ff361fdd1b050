"""The worker's life, here with a generation of the test's own: it loads, answers line by line, and ends."""

import io
import json
import os
import sys
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from app.providers import llama_worker

PROGRAM = {"path": "a.gguf", "context_tokens": 512, "threads": 1, "prompt_threads": 1}


class Ended(Exception):
    """Stands for the end of the process."""


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr(os, "_exit", end)


@pytest.fixture
def replies(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[dict[str, Any]]]:
    out = io.BytesIO()
    monkeypatch.setattr(llama_worker, "_claim_standard_output", lambda: out)
    return lambda: [json.loads(line) for line in out.getvalue().splitlines()]


@pytest.mark.usefixtures("ends")
def test_it_answers_until_its_input_ends(
    monkeypatch: pytest.MonkeyPatch, replies: Callable[[], list[dict[str, Any]]]
) -> None:
    answered = threading.Event()

    def generate(body: dict[str, Any], chunk_arrived: Callable[[dict[str, Any]], bool]) -> None:
        chunk_arrived({"echo": body["say"]})
        answered.set()

    def lines() -> Any:
        yield b'{"id": 7, "body": {"say": "hello"}}\n'
        assert answered.wait(10)
        yield b'{"cancel": 99}\n'

    monkeypatch.setattr(llama_worker, "load", lambda **options: generate if options == PROGRAM else None)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=lines()))
    with pytest.raises(Ended, match="0"):
        llama_worker.main(json.dumps(PROGRAM))
    assert replies()[:2] == [{"loaded": True}, {"id": 7, "chunk": {"echo": "hello"}}]


def test_a_model_that_cannot_be_loaded_is_a_reply_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, replies: Callable[[], list[dict[str, Any]]]
) -> None:
    def load(**_options: object) -> None:
        raise RuntimeError("invalid magic characters")

    monkeypatch.setattr(llama_worker, "load", load)
    with pytest.raises(SystemExit, match="1"):
        llama_worker.main(json.dumps(PROGRAM))
    assert replies() == [{"failed": "invalid magic characters"}]
