"""Command line of documents: `footnote documents`."""

import sys
from contextlib import suppress
from datetime import UTC
from pathlib import Path
from typing import Annotated
from uuid import UUID

import msgspec
import typer

from app.collections_cli import on_database
from app.domain.document import DocumentSummary, DocumentText
from app.domain.errors import DocumentNotFound, InvalidInput
from app.domain.principal import Principal
from app.embedded.connect import connected
from app.services.uploads import Uploads
from app.settings import Settings, load_settings
from app.storage.documents import DocumentStore
from app.storage.engine import Database
from app.telemetry import configure_logging


def documents(
    ids: Annotated[list[UUID] | None, typer.Argument(help="Documents to delete, with --delete.")] = None,
    collection: Annotated[str | None, typer.Option(help="Only this collection; all of them without.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 50,
    delete: Annotated[bool, typer.Option("--delete", help="Delete the documents of these ids.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    data_dir: Annotated[Path | None, typer.Option(help="Where the embedded services keep their data.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print each document as a line of JSON.")] = False,
) -> None:
    """Show the documents by collection and URI, or delete some with all their versions."""
    if delete != bool(ids):
        raise InvalidInput("Documents are deleted with --delete and their ids; `footnote documents` shows these.")
    with connected(load_settings(data_dir=data_dir)) as settings:
        configure_logging(level="warning", json=False)
        if ids:
            _delete(settings, list(dict.fromkeys(ids)), yes=yes)
            return
        shown, there = on_database(settings, lambda database: _listed(database, collection, limit))
    for each in shown:
        sys.stdout.write(msgspec.json.encode(each).decode() + "\n" if json else _told(each))
    if len(shown) < there:
        typer.echo(f"{len(shown)} of {there} documents; `--limit {there}` shows all of them.", err=True)


def _told(document: DocumentSummary) -> str:
    """A line with the id, which `--delete` takes; the URI in the line below it."""
    title, updated = " ".join(document.title.split()), document.updated_at.astimezone(UTC)
    about = f"chunks {document.chunks}, updated {updated:%Y-%m-%d %H:%M} UTC"
    return f"{document.id}  {document.collection}: {title} ({about})\n  {document.uri}\n"


async def _listed(database: Database, collection: str | None, limit: int) -> tuple[list[DocumentSummary], int]:
    """The first documents, and how many there are. Raises CollectionNotFound."""
    store, workspace_id = DocumentStore(database), Principal().workspace_id
    shown = await store.page(workspace_id, collection, limit=limit, offset=0)
    collections = await store.collections(workspace_id)
    return shown, sum(each.documents for each in collections if collection in {None, each.name})


def _delete(settings: Settings, ids: list[UUID], *, yes: bool) -> None:
    found = on_database(settings, lambda database: _found(database, ids))
    if not yes:
        for document in found:
            typer.echo(f"{document.collection}: {' '.join(document.title.split())} ({document.uri})", err=True)
        typer.confirm(f"Delete {_counted(found)} for good?", abort=True, err=True)
    on_database(settings, lambda database: _delete_all(settings, database, ids))
    typer.echo(f"{_counted(found)} deleted.", err=True)


def _counted(found: list[DocumentText]) -> str:
    return "1 document" if len(found) == 1 else f"{len(found)} documents"


async def _found(database: Database, ids: list[UUID]) -> list[DocumentText]:
    """The documents of all these ids. Raises DocumentNotFound for the first that is none."""
    store, found = DocumentStore(database), list[DocumentText]()
    for document_id in ids:
        try:
            found.append(await store.text(Principal().workspace_id, document_id))
        except DocumentNotFound as error:
            raise DocumentNotFound(f"There is no document {document_id}; nothing was deleted.") from error
    return found


async def _delete_all(settings: Settings, database: Database, ids: list[UUID]) -> None:
    uploads = Uploads.on(database, settings.uploads_dir)
    for document_id in ids:
        with suppress(DocumentNotFound):  # it went with the mail that it was attached to
            await uploads.delete(Principal(), document_id)
