"""Opening: the database, the embedder and the collection that a run of ingestion works with."""

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from app.domain.errors import ConfigurationError, InvalidInput
from app.domain.index import IndexGeneration, chunker_id
from app.domain.principal import Principal
from app.providers.embedder import make_embedder
from app.settings import Settings
from app.storage.documents import DocumentStore
from app.storage.engine import Database
from app.storage.first_load import FirstLoad
from app.storage.generations import ensure_generation
from app.storage.inventory import Inventory
from app.storage.revision import require_current
from app.storage.text_search import require_text_search
from ingestion.contexts import ContextModel
from ingestion.embed import Embedding
from ingestion.place import Here, Place
from ingestion.situating import Situating, open_situating
from ingestion.writing import WRITERS

_ADDRESS = re.compile(r"ray(://[^/\s]+)?")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where documents go and how they are cut."""

    principal: Principal
    collection_id: UUID
    generation: IndexGeneration
    text_search_config: str
    chunk_tokens: int
    max_file_bytes: int
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """What a run works with; `situating` None: the collection has no contexts."""

    store: DocumentStore
    inventory: Inventory
    embed: Embedding
    destination: Destination
    load: FirstLoad
    place: Place
    situating: Situating | None


@asynccontextmanager
async def opened_database(settings: Settings) -> AsyncIterator[Database]:
    """DATABASE_URL, at this version's schema. Raises SchemaOutdated, DatabaseUnavailable."""
    assert settings.database_url is not None  # noqa: S101 - `connected` sets it
    database = Database(settings.database_url.get_secret_value(), pool_size=WRITERS + 2)
    await database.open()
    try:
        await require_current(database)
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def opened(
    database: Database, settings: Settings, collection: str, *, source: str | None = None, on: str | None = None
) -> AsyncIterator[Opened]:
    """A collection to write to, and the active generation's embedder `on` this or other machines, made when missing.

    Raises EmbedderMismatch, ProviderError, and for a collection with contexts ConfigurationError (and its kinds).
    """
    async with ContextModel(settings) as model, opened_place(settings, on) as place:
        yield await open_with(place, model, database, settings, collection, principal=Principal(), source=source)


def check_address(on: str | None) -> str | None:
    """The address of a cluster, None for this process. Raises InvalidInput when it is neither."""
    if on is not None and not _ADDRESS.fullmatch(on):
        raise InvalidInput(f"--on is `{on}`; it takes `ray`, or the address of a cluster, `ray://HOST:10001`.")
    return on


@asynccontextmanager
async def opened_place(settings: Settings, on: str | None) -> AsyncIterator[Place]:
    """This process, or the Ray cluster at the address `on`. Raises ConfigurationError, ProviderError."""
    if on is not None:
        check_address(on)
        # Ray's nodes have Footnote; left alone, a command started by `uv run` would send them its folder to install
        os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
        try:
            from ingestion.on_ray import on_ray  # noqa: PLC0415 - of the extra `ray`, and seconds to import
        except ImportError as error:
            raise ConfigurationError("Ray is not installed: `uv sync --extra ray` installs it.") from error
        async with on_ray(on, settings) as place:
            yield place
        return
    embedder = make_embedder(settings, later=True)  # most syncs find nothing to embed
    try:
        with Here(embedder) as place:
            yield place
    finally:
        await embedder.close()


async def open_with(
    place: Place,
    model: ContextModel,
    database: Database,
    settings: Settings,
    collection: str,
    *,
    principal: Principal,
    source: str | None = None,
    make: bool = True,
) -> Opened:
    """As `opened`, with a place and a model for contexts that stay the caller's.

    Raises ConfigurationError when there is no such text search configuration, before anything is made, and unless it is
    to `make` the collection CollectionNotFound.
    """
    store, embedder = DocumentStore(database), place.embedder
    await require_text_search(database, settings.text_search_config)
    generation = await ensure_generation(
        database, embedder=embedder.name, dimensions=embedder.dimensions, chunker=chunker_id(settings.chunk_tokens)
    )
    workspace_id = principal.workspace_id
    if make:
        collection_id = await store.ensure_collection(workspace_id, collection)
    else:
        collection_id = (await store.collection_ids(workspace_id, collection))[collection]
    destination = Destination(
        principal=principal,
        collection_id=collection_id,
        generation=generation,
        text_search_config=settings.text_search_config,
        chunk_tokens=settings.chunk_tokens,
        max_file_bytes=settings.max_file_bytes,
        source=source,
    )
    embed = Embedding(database, workspace_id, generation, embedder)
    inventory = Inventory(database, workspace_id, collection_id)
    situating = await open_situating(database, principal, collection_id, model)
    return Opened(store, inventory, embed, destination, FirstLoad(database, generation), place, situating)
