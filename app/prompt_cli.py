"""Command line of prompts: `footnote prompt`."""

import asyncio
import sys
from difflib import unified_diff
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from app.bootstrap import open_retrieval
from app.domain.errors import ConfigurationError
from app.domain.passage import Passage
from app.domain.principal import Principal
from app.embedded.connect import connected
from app.providers.chat_model import is_small
from app.providers.prompt_files import activate as activate_version
from app.providers.prompt_files import active_versions, prompt_path, prompt_text, read_prompt, versions_of
from app.services.context import format_passages, merge_neighbours
from app.services.retrieval import SearchRequest
from app.settings import Settings, load_settings, packaged_prompts
from app.tables import print_table
from app.telemetry import configure_logging

commands = typer.Typer(no_args_is_help=True)
_FILLED_IN = {"passages", "passage", "question", "history"}
Name = Annotated[str, typer.Argument(help="A prompt's name; `footnote prompt list` shows them.")]


@commands.callback()
def prompts() -> None:
    """See, compare, try and choose the prompts that answers are written with."""


@commands.command(name="list")
def list_prompts() -> None:
    """Show each prompt with its versions, the one in use, and what it is for."""
    folder, packaged = load_settings().prompts_dir, packaged_prompts()
    columns = ("prompt", "in use", "of", "versions", "checksum", "system")
    table = Table(*columns, title=escape(str(folder)), highlight=False)
    for name, version in active_versions(folder).items():
        prompt = read_prompt(folder, name, version)
        others = ", ".join(map(str, versions_of(folder, name)))
        owner = "Footnote" if prompt_path(folder, name, version).is_relative_to(packaged) else "yours"
        first = escape(prompt.system.partition("\n")[0])
        table.add_row(name, str(version), owner, others, prompt.checksum[:8], first)
    print_table(table)


@commands.command()
def diff(
    name: Name,
    old: Annotated[int | None, typer.Argument(help="A version; the one in use without.")] = None,
    new: Annotated[int | None, typer.Argument(help="Another; the newest without.")] = None,
) -> None:
    """Show what two versions of a prompt differ in. Exit code 1 when they do."""
    folder = load_settings().prompts_dir
    there = versions_of(folder, name)
    before = active_versions(folder)[name] if old is None else old
    after = there[-1] if new is None and there else new or before
    one, other = (prompt_text(folder, name, version).splitlines(keepends=True) for version in (before, after))
    lines = list(unified_diff(one, other, f"{name}/v{before}.md", f"{name}/v{after}.md"))
    sys.stdout.writelines(lines)
    if lines:
        raise typer.Exit(1)
    typer.echo(f"{name}: versions {before} and {after} are the same.", err=True)


@commands.command()
def render(
    name: Name,
    question: Annotated[str, typer.Argument(help="The question.")],
    collection: Annotated[
        str | None, typer.Option(help="Where passages are retrieved; all collections without.")
    ] = None,
    version: Annotated[int | None, typer.Option(help="A version; the one in use without.")] = None,
    history: Annotated[str, typer.Option(help="What was said before, such as “user: …”.")] = "",
    data_dir: Annotated[Path | None, typer.Option(help="Where the embedded services keep their data.")] = None,
) -> None:
    """Print the messages that the model would get for a question, with the passages that are really found."""
    if not question.strip():
        raise ConfigurationError("The question is empty; write it after the prompt's name, in quotes.")
    settings = load_settings(data_dir=data_dir)
    number = active_versions(settings.prompts_dir).get(name, 0) if version is None else version
    prompt_text(settings.prompts_dir, name, number)
    prompt = read_prompt(settings.prompts_dir, name, number)
    if unknown := prompt.variables - _FILLED_IN:
        raise ConfigurationError(
            f"`{name}` is not asked with a question: nothing here can fill in {', '.join(sorted(unknown))}."
        )
    found: list[Passage] = []
    if {"passages", "passage"} & prompt.variables:
        with connected(settings) as ready:
            configure_logging(level="error", json=False)
            found = asyncio.run(_found(ready, question, collection))
    system, user = prompt.render(
        passages=format_passages(found), passage=found[0].text if found else "", question=question, history=history
    )
    in_place = {"answer": "answer-small"} if is_small(settings) else {"answer-small": "answer"}
    if name in in_place:
        typer.echo(
            f"`{name}` is not what answers are written with now: `{settings.chat_model}` reads `{in_place[name]}`.",
            err=True,
        )
    sys.stdout.write(f"[system]\n{system}\n\n[user]\n{user}\n")


@commands.command()
def activate(name: Name, version: Annotated[int, typer.Argument(help="The version to use.")]) -> None:
    """Use a version of a prompt from the next start of the servers on."""
    folder = load_settings().prompts_dir
    before = activate_version(folder, name, version)
    typer.echo(f"{name}: version {version} is in use (was {before}); restart the servers.", err=True)


async def _found(settings: Settings, question: str, collection: str | None) -> list[Passage]:
    """The passages as an answer would get them, but for what its model has no room for."""
    request = SearchRequest(question, settings.passages_per_answer, collection, phrases="preferred")
    async with open_retrieval(settings) as retrieval:
        return merge_neighbours(await retrieval.search(Principal(), request))
