"""`footnote prompt`: what it shows, what it chooses, and what it says when it cannot."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.domain.errors import ConfigurationError
from app.prompt_cli import commands
from app.providers.prompt_files import PromptFiles
from app.settings import Settings
from ingestion.pipeline import Report

runner = CliRunner()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's prompts, with a second version of `answer`."""
    folder = tmp_path / "prompts"
    shutil.copytree(Settings().prompts_dir, folder)
    text = (folder / "answer" / "v1.md").read_text()
    (folder / "answer" / "v2.md").write_text(text.replace("Be brief:", "Be very brief:"))
    monkeypatch.setenv("FOOTNOTE_PROMPTS_DIR", str(folder))
    return folder


def test_the_list_names_versions_and_the_one_in_use(folder: Path) -> None:
    shown = runner.invoke(commands, ["list"], env={"COLUMNS": "200"}).output
    assert "answer-small" in shown
    assert "1, 2" in shown


def test_the_list_tells_ones_own_from_the_packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "answer").mkdir()
    text = (Settings().prompts_dir / "answer" / "v1.md").read_text()
    (tmp_path / "answer" / "v2.md").write_text(text)
    monkeypatch.setenv("FOOTNOTE_PROMPTS_DIR", str(tmp_path))
    assert runner.invoke(commands, ["activate", "answer", "2"]).exit_code == 0
    lines = runner.invoke(commands, ["list"], env={"COLUMNS": "200"}).output.splitlines()
    owners = {line.split()[1]: line.split()[5] for line in lines if line.count("│") > 5}
    assert owners["answer"] == "yours"
    assert owners["condense"] == "Footnote"


@pytest.mark.parametrize(
    ("system", "shown"), [("[INST] Be kind. [/INST]", "[INST] Be kind. [/INST]"), ("", "closed-book")]
)
def test_the_list_shows_a_prompt_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, shown: str
) -> None:
    folder = tmp_path / "mine[v2]"
    (folder / "closed-book").mkdir(parents=True)
    front = "---\npurpose: x\nmodel: y\nvariables: question,\n---\n"
    (folder / "closed-book" / "v2.md").write_text(f"{front}## system\n{system}\n## user\n$question\n")
    (folder / "ACTIVE.toml").write_text("closed-book = 2\n")
    monkeypatch.setenv("FOOTNOTE_PROMPTS_DIR", str(folder))
    done = runner.invoke(commands, ["list"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert shown in done.output
    assert "mine[v2]" in done.output


def test_the_difference_of_two_versions(folder: Path) -> None:
    done = runner.invoke(commands, ["diff", "answer"])
    assert done.exit_code == 1
    assert "-- Be brief:" in done.output
    assert "+- Be very brief:" in done.output
    assert "versions 1 and 1 are the same" in runner.invoke(commands, ["diff", "answer", "1", "1"]).output
    assert runner.invoke(commands, ["diff", "condense"]).exit_code == 0


def test_activating_a_version_keeps_the_rest_of_the_file(folder: Path) -> None:
    done = runner.invoke(commands, ["activate", "answer", "2"])
    assert done.exit_code == 0
    assert "version 2 is in use (was 1)" in done.output
    assert PromptFiles(folder).active("answer").version == 2
    assert PromptFiles(folder).active("answer-small").version == 1
    assert (folder / "ACTIVE.toml").read_text().startswith("# The version of each prompt")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["activate", "answer", "9"], "has no version 9; there are: 1, 2"),
        (["diff", "joke"], "There is no prompt `joke`"),
        (["render", "joke", "Why?"], "There is no prompt `joke`"),
        (["render", "answer", " "], "The question is empty"),
        (["render", "context", "Why?"], "nothing here can fill in after, before, beginning, chunk"),
    ],
)
def test_what_is_wrong_is_said(folder: Path, arguments: list[str], says: str) -> None:
    error = runner.invoke(commands, arguments).exception
    assert isinstance(error, ConfigurationError)
    assert says in error.message


@pytest.mark.parametrize("line", ['"answer" = 1', "'answer' = 1", "  answer = 1  # for now", "answer=1"])
def test_activating_takes_the_place_of_a_line_however_it_is_written(folder: Path, line: str) -> None:
    (folder / "ACTIVE.toml").write_text(f"{line}\nanswer-small = 1\n")
    assert runner.invoke(commands, ["activate", "answer", "2"]).exit_code == 0
    assert (folder / "ACTIVE.toml").read_text() == "answer = 2\nanswer-small = 1\n"


def test_a_version_that_is_not_valid_is_not_activated(folder: Path) -> None:
    (folder / "answer" / "v3.md").write_text("nothing")
    error = runner.invoke(commands, ["activate", "answer", "3"]).exception
    assert isinstance(error, ConfigurationError)
    assert PromptFiles(folder).active("answer").version == 1


def test_rendering_shows_what_the_model_would_read(
    folder: Path, settings: Settings, ingest: Callable[..., Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest()
    assert settings.database_url is not None
    assert settings.redis_url is not None
    monkeypatch.setenv("DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("REDIS_URL", settings.redis_url.get_secret_value())
    monkeypatch.setenv("FOOTNOTE_EMBEDDER", "scripted")
    done = runner.invoke(commands, ["render", "answer", "how long does the rye loaf rest", "--version", "2"])
    assert "`local` reads `answer-small`" in done.stderr
    shown = done.stdout
    assert "[system]\nYou answer questions" in shown
    assert "Be very brief" in shown
    assert '<passage id="1" title=' in shown
    assert "eighteen hours" in shown
    assert "Question: how long does the rye loaf rest" in shown
    assert runner.invoke(commands, ["render", "answer-small", "rye"]).stderr == ""
    monkeypatch.setenv("FOOTNOTE_CHAT_MODEL", "scripted")
    assert runner.invoke(commands, ["render", "answer", "rye"]).stderr == ""
    assert "`scripted` reads `answer`" in runner.invoke(commands, ["render", "answer-small", "rye"]).stderr
    condensed = runner.invoke(commands, ["render", "condense", "And back?", "--history", "user: When?"]).output
    assert "user: When?" in condensed
