"""Passages as documents of one chunk each, in the real tables."""

import random
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import pytest

from app.domain.document import Chunk, ParsedDocument
from app.domain.filter import Filter
from app.domain.index import IndexGeneration
from app.domain.passage import Leg, Passage
from app.domain.principal import DEFAULT_WORKSPACE_ID as WORKSPACE
from app.providers.fakes import HashEmbedder
from app.storage.documents import DocumentStore
from app.storage.engine import Database
from app.storage.generations import ensure_generation
from app.storage.passages import PassageIndex, PassageQuery, Routing, SearchOptions
from app.storage.search_sql import Fusion, Route
from app.storage.versions import NewVersion

WORDS = "river bridge stone ferry lamp harbour winter bread oven wheel tide north signal keeper rope".split()  # noqa: SIM905
EMBEDDER = HashEmbedder(16)


def random_text(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, weights=range(1, len(WORDS) + 1), k=rng.randint(1, 60)))


async def version_of(uri: str, text: str, config: str, metadata: dict | None = None) -> NewVersion:
    return NewVersion(
        uri=uri,
        content_hash=text.encode(),
        document=ParsedDocument(text, "", "text/plain", metadata=metadata or {}),
        chunks=[Chunk(0, (), 0, len(text), None, len(text.split()), text)],
        vectors=await EMBEDDER.embed_passages([text]),
        text_search_config=config,
    )


class Store:
    """Documents of one chunk each, written and searched as the service does it."""

    def __init__(self, database: Database, generation: IndexGeneration, collections: dict[str, UUID]) -> None:
        self.database = database
        self.generation = generation
        self.collections = collections
        self.documents = DocumentStore(database)

    async def write(
        self, uri: str, text: str, *, collection: str = "one", config: str = "english", metadata: dict | None = None
    ) -> UUID:
        version = await version_of(uri, text, config, metadata)
        return await self.documents.write(WORKSPACE, self.collections[collection], self.generation, version)

    async def write_all(self, texts: dict[str, str], *, collection: str = "one", config: str = "english") -> None:
        """Those that are new in one transaction."""
        versions = [await version_of(uri, text, config) for uri, text in texts.items()]
        await self.documents.write_all(WORKSPACE, self.collections[collection], self.generation, versions)

    async def search(
        self,
        text: str,
        leg: Leg = "lexical",
        *,
        k: int = 10,
        collection: str | None = "one",
        phrases: Sequence[str] = (),
        route: Route = "exact",
        fusion: Fusion = "adaptive",
        filter_: Filter | None = None,
    ) -> list[Passage]:
        vector = (await EMBEDDER.embed_query(text))[0]
        index = PassageIndex(self.database, SearchOptions(fusion=fusion))
        query = PassageQuery(text, vector, collection, k, leg, tuple(phrases), filter_)
        return await index.search(WORKSPACE, self.generation, query, Routing(route))

    async def scores(self, text: str, *, k: int = 100, collection: str | None = "one") -> dict[str, float]:
        return {p.uri: p.score for p in await self.search(text, k=k, collection=collection)}


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    database = Database(database_url, pool_size=5)
    await database.open()
    generation = await ensure_generation(database, embedder=EMBEDDER.name, dimensions=16, chunker="whole")
    documents = DocumentStore(database)
    names = ("one", "two")
    yield Store(database, generation, {name: await documents.ensure_collection(WORKSPACE, name) for name in names})
    await database.close()
