"""`footnote reindex`: what is asked for, what is printed, and what other commands say afterwards."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from app.bootstrap import require_fit
from app.cli import command_line
from app.doctor import examine
from app.domain.errors import ConfigurationError, EmbedderMismatch, ReindexRefused
from app.providers.fakes import HashEmbedder
from app.settings import Settings
from app.storage.engine import Database
from ingestion.pipeline import Report

Footnote = Callable[..., Result]


@pytest.fixture
def footnote(database_url: str, redis_url: str, corpus: Report, monkeypatch: pytest.MonkeyPatch) -> Footnote:
    """Runs `footnote ARGUMENTS…` on a database with the test corpus."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("FOOTNOTE_EMBEDDER", "scripted")
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(command_line(), [str(argument) for argument in arguments])


def report(footnote: Footnote, *arguments: object) -> Any:
    result = footnote("reindex", *arguments, "--json")
    assert result.exit_code == 0, result.exception
    return json.loads(result.stdout)


def states(footnote: Footnote) -> list[tuple[int, str]]:
    return [(one["overview"]["id"], one["overview"]["state"]) for one in report(footnote, "--status")["generations"]]


def test_build_status_rollback_and_purge_as_json(footnote: Footnote) -> None:
    built = report(footnote, "--embedder-dimensions", 96, "--chunker", "structure-v2/100")
    assert (built["generation"], built["replaces"], built["stage"], built["documents"]) == (2, 1, "done", 3)
    assert built["verification"]["recall_at_10"] == 1
    found = report(footnote, "--status")
    assert found["builder_at_work"] is False
    overview = found["generations"][1]["overview"]
    assert (overview["dimensions"], overview["chunker"], overview["indexed"]) == (96, "structure-v2/100", True)
    assert found["generations"][1]["progress"]["pending"] == 0
    back = report(footnote, "--rollback")
    assert (back["active"]["id"], back["missing_documents"], back["seconds"] < 1) == (1, 0, True)
    assert states(footnote) == [(1, "active"), (2, "retired")]
    assert report(footnote, "--purge") == {"purged": []}
    assert [one["id"] for one in report(footnote, "--purge", "--force")["purged"]] == [2]
    assert states(footnote) == [(1, "active")]


def test_what_a_person_reads(footnote: Footnote) -> None:
    result = footnote("reindex", "--embedder-dimensions", 96, "--chunk-tokens", 100)
    assert result.exit_code == 0
    for words in (
        "recall@10",
        "generation 2 took over from 1",
        "FOOTNOTE_EMBEDDER_DIMENSIONS=96",
        "restart",
        "--purge",
    ):
        assert words in result.stderr
    shown = footnote("reindex", "--status").stdout
    assert "retired" in shown
    assert "structure-v2/200" in shown
    assert "…" not in shown
    assert "generation 1 (scripted:hash, 64 dimensions" in footnote("reindex", "--rollback").stderr
    assert "active one already; 0 documents" in footnote("reindex").stderr
    assert "nothing is purged" in footnote("reindex", "--purge").stderr
    assert "purged: 2 (scripted:hash, 96, structure-v2/100)" in footnote("reindex", "--purge", "--force").stderr


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (("--status", "--purge"), ConfigurationError, "Only one of"),
        (("--chunk-tokens", 100, "--chunker", "structure-v2/100"), ConfigurationError, "either --chunk-tokens"),
        (("--chunker", "words"), ConfigurationError, "structure-v2/32 to"),
        (("--embedder", "gpt-99"), ConfigurationError, "gpt-99"),
        (("--embedder", "openai:text-embedding-3-small"), ConfigurationError, "OPENAI_API_KEY"),
        (("--rollback",), ReindexRefused, "no retired generation"),
        (("--abandon",), ReindexRefused, "unfinished"),
    ],
)
def test_what_cannot_be_done(
    footnote: Footnote, arguments: tuple[object, ...], error: type[Exception], says: str
) -> None:
    result = footnote("reindex", *arguments)
    assert isinstance(result.exception, error)
    assert says in str(result.exception)
    assert states(footnote) == [(1, "active")]


async def test_the_former_embedder_starts_with_a_warning_and_an_unknown_one_does_not(
    footnote: Footnote, settings: Settings
) -> None:
    await asyncio.to_thread(report, footnote, "--embedder-dimensions", 96)
    assert settings.database_url is not None
    database = Database(settings.database_url.get_secret_value())
    await database.open()
    try:
        with capture_logs() as logs:
            await require_fit(database, HashEmbedder(96))
            assert logs == []
            await require_fit(database, HashEmbedder(64))
        assert logs[0]["log_level"] == "warning"
        assert "FOOTNOTE_EMBEDDER" in logs[0]["hint"]
        with pytest.raises(EmbedderMismatch, match="footnote reindex"):
            await require_fit(database, HashEmbedder(32))
    finally:
        await database.close()
    findings = {finding.name: finding for finding in await examine(settings)}
    assert findings["embedder"].state == "warning"
    assert "rebuilt with another embedder" in findings["embedder"].detail
