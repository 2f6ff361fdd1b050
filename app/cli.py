"""Command line: `footnote`. Imports the command that is run and no other: the service's own take a second."""

import codecs
import errno
import gc
import io
import json
import os
import sys
from importlib import import_module
from importlib.metadata import entry_points
from typing import Annotated

import typer
from rich.console import Console

from app import __version__
from app.domain.errors import FootnoteError, InvalidInput


def root(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    """Answers from your documents, every sentence footnoted to the passage that supports it."""
    if version:
        sys.stdout.write(f"footnote {__version__}\n")
        raise typer.Exit
    if context.invoked_subcommand is None:
        sys.stdout.write(context.get_help() + "\n")


def command_line(name: str | None = None) -> typer.Typer:
    """The commands of the service and those of the other rooms, which register themselves by entry points.

    With the `name` of one of the latter, that one alone.
    """
    cli = typer.Typer(name="footnote", no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
    cli.callback(invoke_without_command=True)(root)
    others = {command.name: command for command in entry_points(group="footnote.commands")}
    if name in others:
        others = {name: others[name]}
    else:
        cli.registered_commands += import_module("app.commands").cli.registered_commands
    for command in others.values():
        loaded = command.load()
        if isinstance(loaded, typer.Typer):
            cli.add_typer(loaded, name=command.name)
        else:
            cli.command(command.name)(loaded)
    return cli


def main() -> None:
    """The console script: turns domain errors into a line and exit code 2, a full disk into a line and exit code 1."""
    try:
        # what is imported stays to the end: looking for garbage in it, now and at the exit, takes a third of the time
        gc.disable()
        _write_any_character()
        _require_text(sys.argv[1:])
        cli = command_line(sys.argv[1] if len(sys.argv) > 1 else None)
        gc.freeze()
        gc.enable()
        try:
            cli()
        finally:
            sys.stdout.flush()
    except FootnoteError as error:
        Console(stderr=True).print(f"footnote: {error.for_operators}", highlight=False, markup=False, soft_wrap=True)
        sys.exit(2)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EPIPE}:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # where the rest goes, which Python writes last
        if error.errno != errno.EPIPE:  # whoever read it has gone, and wants no more
            sys.stderr.write(f"footnote: {error.strerror}. Make room, then run the command again.\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _write_any_character() -> None:
    """Where standard output has an encoding without a character, or the name of a file is not UTF-8, write it as JSON
    does (`\\u203a`), so that JSON stays JSON."""

    def escaped(error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        return json.dumps(error.object[error.start : error.end])[1:-1], error.end

    codecs.register_error("footnote", escaped)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="footnote")


def _require_text(arguments: list[str]) -> None:
    """Raise InvalidInput for an argument that is not text in the encoding of the terminal, unless it names a file."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            if not os.path.lexists(argument):
                raise InvalidInput(
                    f"The argument {argument!a} is not {sys.getfilesystemencoding().upper()}, which the locale says "
                    "that it is."
                ) from error


if __name__ == "__main__":
    main()
