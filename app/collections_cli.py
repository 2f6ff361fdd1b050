"""Command line of collections: `footnote collections`."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import typer

from app.domain.document import CollectionSummary
from app.domain.errors import CollectionNotFound
from app.domain.principal import Principal
from app.embedded.connect import connected
from app.services.uploads import Uploads
from app.settings import Settings, load_settings
from app.storage.documents import DocumentStore
from app.storage.engine import Database
from app.storage.revision import require_current
from app.telemetry import configure_logging

T = TypeVar("T")


def collections(
    delete: Annotated[str | None, typer.Option(metavar="NAME", help="Delete this one with all its documents.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    data_dir: Annotated[Path | None, typer.Option(help="Where the embedded services keep their data.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print each collection as a line of JSON.")] = False,
) -> None:
    """Show the collections with their numbers of documents, or delete one."""
    with connected(load_settings(data_dir=data_dir)) as settings:
        configure_logging(level="warning", json=False)
        found = on_database(settings, _listed)
        if delete is None:
            for each in found:
                line = msgspec.json.encode(each).decode() if json else f"{each.name}: {each.documents} documents"
                sys.stdout.write(line + "\n")
            return
        documents = next((each.documents for each in found if each.name == delete), None)
        if documents is None:
            names = ", ".join(each.name for each in found) or "none"
            raise CollectionNotFound(f"There is no collection named {delete!r}; there are: {names}.")
        if not yes:
            typer.confirm(f"Delete “{delete}” with its {documents} documents for good?", abort=True, err=True)
        deleted = on_database(settings, lambda database: _delete(settings, database, delete))
        typer.echo(f"“{delete}” is deleted, with {deleted} documents.", err=True)


async def _listed(database: Database) -> list[CollectionSummary]:
    return await DocumentStore(database).collections(Principal().workspace_id)


async def _delete(settings: Settings, database: Database, name: str) -> int:
    return await Uploads.on(database, settings.uploads_dir).delete_collection(Principal(), name)


def on_database(settings: Settings, action: Callable[[Database], Awaitable[T]]) -> T:
    """What an action on DATABASE_URL returns. Raises SchemaOutdated, DatabaseUnavailable."""

    async def run() -> T:
        assert settings.database_url is not None  # noqa: S101 - `connected` sets it
        database = Database(settings.database_url.get_secret_value(), pool_size=1)
        await database.open()
        try:
            await require_current(database)
            return await action(database)
        finally:
            await database.close()

    return asyncio.run(run())
