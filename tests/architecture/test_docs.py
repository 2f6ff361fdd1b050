"""The handbook tells the truth: every setting, endpoint, event and command option that it names exists."""

import re
from pathlib import Path

import pytest
import typer.main

from app.cli import command_line
from app.domain.run import EVENT_TYPES
from app.main import create_app
from app.settings import Settings, variable_of

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = {page: page.read_text() for page in PAGES}


def test_every_setting_is_in_the_handbook_with_its_default() -> None:
    page = TEXT[ROOT / "docs" / "configure.md"]
    rows = dict(re.findall(r"^\| `([A-Z0-9_]+)` \| (.*?) \|", page, re.MULTILINE))
    assert rows.keys() == {variable_of(name) for name in Settings.model_fields}
    for name, info in Settings.model_fields.items():
        if info.default_factory is None and info.default not in {None, ()}:
            assert rows[variable_of(name)] == f"`{info.default}`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_that_are_named_exist(page: Path) -> None:
    known = {variable_of(name) for name in Settings.model_fields}
    assert set(re.findall(r"FOOTNOTE_[A-Z0-9_]+", TEXT[page])) <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_endpoints_that_are_named_exist(page: Path) -> None:
    paths = create_app(Settings()).openapi()["paths"]
    operations = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    named = set(re.findall(r"`(GET|POST|DELETE|PUT) (/[^\s`]*)`", TEXT[page]))
    assert named <= operations


def test_events_that_are_named_exist() -> None:
    named = set(re.findall(r"^\| `([a-z]+\.?[a-z]*)` \|", TEXT[ROOT / "docs" / "ask.md"], re.MULTILINE))
    assert named == set(EVENT_TYPES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_that_are_named_exist(page: Path) -> None:
    group = typer.main.get_command(command_line())
    for line in re.findall(r"footnote ((?:[a-z]+)(?: [^\n`]*)?)[\n`]", TEXT[page]):
        name, *rest = line.partition("#")[0].split()
        if name not in group.commands:  # type: ignore[attr-defined]
            continue
        command = group.commands[name]  # type: ignore[attr-defined]
        if hasattr(command, "commands"):
            assert rest, line
            assert rest[0] in command.commands, line
            command = command.commands[rest[0]]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= options, line


def test_links_between_pages_lead_somewhere() -> None:
    for page, text in TEXT.items():
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
            assert (page.parent / target).exists(), (page.name, target)
