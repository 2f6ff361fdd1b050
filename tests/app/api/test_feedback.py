"""Feedback over HTTP, and the questions that are made of it."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from click.testing import Result
from typer.testing import CliRunner

from app.domain.errors import InvalidInput
from app.settings import Settings
from evals.cli import commands
from evals.datasets.questions import load_questions
from evals.harvest import anonymised
from tests.fixtures.server import Server, chat

pytestmark = pytest.mark.usefixtures("corpus")
QUESTION = "How long does the rye loaf rest?"


async def harvest(out: Path) -> Result:
    """`footnote eval harvest`, in a thread: it runs an event loop of its own."""
    return await asyncio.to_thread(CliRunner().invoke, commands, ["harvest", "--out", str(out)])


async def answered(client: httpx.AsyncClient, question: str, **body: object) -> tuple[str, str]:
    """The ids of the answer's message and its conversation."""
    started = (await chat(client, question, **body))[0].data
    return started["message_id"], started["conversation_id"]


async def test_a_rating_is_kept_replaced_and_taken_back(client: httpx.AsyncClient) -> None:
    message_id, conversation_id = await answered(client, QUESTION)
    path = f"/v1/messages/{message_id}/feedback"
    first = await client.put(path, json={"rating": "up"})
    assert (first.status_code, first.json()["rating"], first.json()["comment"]) == (200, "up", None)
    second = (await client.put(path, json={"rating": "down", "comment": "It rests\x00longer."})).json()
    assert (second["rating"], second["comment"], second["message_id"]) == ("down", "It rests longer.", message_id), (
        "a NUL is a space"
    )
    again = (await client.put(path, json={"rating": "down"})).json()
    assert again["comment"] == "It rests longer.", "the same rating leaves what was said to it"
    said = (await client.get(f"/v1/conversations/{conversation_id}")).json()["messages"]
    assert [(message["rating"], message["comment"]) for message in said] == [(None, None), ("down", "It rests longer.")]
    assert (await client.put(path, json={"rating": "up"})).json()["comment"] is None
    assert (await client.delete(path)).status_code == 204
    assert (await client.delete(path)).status_code == 204


@pytest.mark.parametrize(
    ("body", "status"), [({"rating": "meh"}, 422), ({}, 422), ({"rating": "up", "comment": "x" * 2001}, 422)]
)
async def test_what_is_no_rating_is_refused(client: httpx.AsyncClient, body: dict[str, str], status: int) -> None:
    message_id, _ = await answered(client, QUESTION)
    assert (await client.put(f"/v1/messages/{message_id}/feedback", json=body)).status_code == status


async def test_only_answers_can_be_rated(client: httpx.AsyncClient) -> None:
    message_id, conversation_id = await answered(client, QUESTION)
    messages = (await client.get(f"/v1/conversations/{conversation_id}")).json()["messages"]
    asked = next(message["id"] for message in messages if message["id"] != message_id)
    response = await client.put(f"/v1/messages/{asked}/feedback", json={"rating": "up"})
    assert (response.status_code, response.json()["code"]) == (404, "message_not_found")


async def test_ratings_become_questions_that_count_once_they_are_reviewed(
    settings: Settings, serve: Callable[[Settings], Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings.database_url is not None
    assert settings.redis_url is not None
    monkeypatch.setenv("DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("REDIS_URL", settings.redis_url.get_secret_value())
    out = tmp_path / "harvest.jsonl"
    assert isinstance((await harvest(out)).exception, InvalidInput)
    async with serve(settings).client() as client:
        good, conversation = await answered(client, f"{QUESTION} Write to baker@example.org or +46 70 123 45 67.")
        bad, _ = await answered(client, "And the crust?", conversation_id=conversation)
        await client.put(f"/v1/messages/{good}/feedback", json={"rating": "up"})
        await client.put(f"/v1/messages/{bad}/feedback", json={"rating": "down", "comment": "Nothing on the crust."})
    assert (await harvest(out)).exit_code == 0
    first, second = map(json.loads, out.read_text().splitlines())
    assert first["question"] == f"{QUESTION} Write to [mail] or [number]."
    assert (first["_id"], first["reviewed"], first["note"]) == (f"feedback-{good}", False, "up")
    assert "bakery.rst" in first["documents"]
    assert first["answers"][0]
    assert (second["note"], "answers" in second) == ("down: Nothing on the crust.", False)
    assert [each["role"] for each in second["history"]] == ["user", "assistant"]
    assert isinstance((await harvest(out)).exception, InvalidInput)
    with pytest.raises(InvalidInput, match="no question is reviewed yet"):
        load_questions(out)
    out.write_text("".join(json.dumps(line) + "\n" for line in (first | {"reviewed": True}, second)))
    suite = load_questions(out)
    assert ([question.id for question in suite.questions], suite.unreviewed) == ([f"feedback-{good}"], 1)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Mail me: jo.doe+x@mail.example.com!", "Mail me: [mail]!"),
        ("Call (08) 123 456 78 today", "Call [number] today"),
        ("IBAN DE89 3704 0044 0532 0130 00 please", "IBAN [account] please"),
        ("My key is sk-abcDEF123456789012", "My key is [key]"),
        ("Room 12 has 140 crowns since 2019.", "Room 12 has 140 crowns since 2019."),
        ("From 2019 to 2021, 3.14159 of it", "From 2019 to 2021, 3.14159 of it"),
    ],
)
def test_what_points_at_a_person_is_taken_out(said: str, kept: str) -> None:
    assert anonymised(said) == kept
