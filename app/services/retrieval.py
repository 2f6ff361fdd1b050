"""Retrieval: the passages that may answer a question."""

import asyncio
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from app.domain.errors import CollectionNotFound, InvalidInput
from app.domain.index import IndexGeneration
from app.domain.passage import Leg, Passage
from app.domain.ports import Embedder
from app.domain.principal import Principal
from app.storage.documents import DocumentStore
from app.storage.engine import Database
from app.storage.generations import readable_generation
from app.storage.passages import PassageIndex, PassageQuery

GENERATION_CACHE_S = 1.0  # a retired generation stays readable much longer than this


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """What to search: `collection` None means every collection; `filter` is metadata that must be there."""

    query: str
    k: int
    collection: str | None = None
    filter: dict[str, Any] = field(default_factory=dict)
    leg: Leg = "hybrid"


class Retrieval:
    """Embeds the question and searches the active index generation."""

    def __init__(
        self,
        database: Database,
        embedder: Embedder,
        *,
        text_search_config: str,
        candidates_per_leg: int,
        rrf_k: int,
    ) -> None:
        self._database = database
        self._index = PassageIndex(database, text_search_config=text_search_config)
        self._documents = DocumentStore(database)
        self._embedder = embedder
        self._candidates = candidates_per_leg
        self._rrf_k = rrf_k
        self._generation: tuple[float, IndexGeneration] | None = None

    async def search(self, principal: Principal, request: SearchRequest) -> list[Passage]:
        """The best `request.k` passages, best first; empty when nothing is indexed or found.

        Raises CollectionNotFound, InvalidInput, DatabaseUnavailable, EmbedderMismatch, ProviderError (of the embedder).
        """
        if not request.query.strip():
            raise InvalidInput("The query is empty.")
        vector, generation = await asyncio.gather(self._embedder.embed_query(request.query), self.generation())
        passages: list[Passage] = []
        if generation is not None:
            query = PassageQuery(
                text=request.query.replace("\x00", " "),
                vector=vector[0],
                collection=request.collection,
                k=request.k,
                candidates=max(self._candidates, request.k),
                rrf_k=self._rrf_k,
                leg=request.leg,
                metadata=request.filter,
            )
            passages = await self._index.search(principal.workspace_id, generation, query)
        if not passages and request.collection is not None:
            await self.require_collection(principal, request.collection)
        return passages

    async def require_collection(self, principal: Principal, name: str) -> None:
        """Raise CollectionNotFound when the workspace has none of that name."""
        if "\x00" in name:
            raise CollectionNotFound
        await self._documents.collection_ids(principal.workspace_id, name)

    async def generation(self) -> IndexGeneration | None:
        """The index generation to search: the active one, or one that it replaced and that fits this embedder.

        So a flip to another embedder fails no question: this process goes on until it is restarted with that embedder.
        None before the first ingestion. Raises EmbedderMismatch when none fits any more.
        """
        now = monotonic()
        if self._generation is None or now - self._generation[0] > GENERATION_CACHE_S:
            generation = await readable_generation(
                self._database, embedder=self._embedder.name, dimensions=self._embedder.dimensions
            )
            if generation is None:
                return None
            self._generation = (now, generation)
        return self._generation[1]
