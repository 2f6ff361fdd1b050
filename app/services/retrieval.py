"""Retrieval: the passages that may answer a question."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Literal

import numpy as np

from app.domain.errors import CollectionNotFound, InvalidInput
from app.domain.filter import Filter
from app.domain.filter_fields import check_visitors_filter
from app.domain.index import IndexGeneration
from app.domain.passage import Leg, Passage
from app.domain.phrases import quoted_phrases, without_quotes
from app.domain.ports import Embedder
from app.domain.principal import Principal
from app.services.reranking import Reranked, Reranking
from app.storage.documents import DocumentStore
from app.storage.engine import Database
from app.storage.generations import readable_generation
from app.storage.metadata_fields import MetadataFields
from app.storage.passages import PassageIndex, PassageQuery, Routing, SearchOptions
from app.storage.routing import Router
from app.storage.search_sql import Route
from app.telemetry import TRACER

COPIES = 4  # so many times as many passages are looked at where some are copies of others
GENERATION_CACHE_S = 1.0  # a retired generation stays readable much longer than this


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """What to search: `collection` None means every collection; `filter` is what metadata must satisfy.

    Words in quotes must stand in a passage as they are written there, inflection aside, unless the query is a longer
    text that happens to hold quotes, or asks for the dense leg alone, which knows no words. Where phrases are only
    `preferred`, other passages follow those that hold them.
    """

    query: str
    k: int
    collection: str | None = None
    filter: Filter | None = None
    leg: Leg = "hybrid"
    phrases: Literal["required", "preferred"] = "required"


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a search is done: in which index generation and by which route, and PostgreSQL's plan of it, line by line.

    `route` is `exact` (every passage that passes is measured) or `index` (HNSW); `in_scope` the passages of the
    collections searched, `passing` how many of them are estimated to pass the filter.
    """

    generation: int
    embedder: str
    route: Route
    in_scope: int
    passing: int
    phrases: tuple[str, ...]
    plan: list[str]


def different(passages: Sequence[Passage]) -> list[Passage]:
    """The first of each that read the same: title, headings and text. Documents with the same parts have such."""
    kept = dict[tuple[str, tuple[str, ...], str], Passage]()
    for passage in passages:
        kept.setdefault((passage.title, passage.heading_path, passage.text), passage)
    return list(kept.values())


class Retrieval:
    """Embeds the question and searches the active index generation."""

    def __init__(
        self, database: Database, embedder: Embedder, options: SearchOptions, reranking: Reranking | None = None
    ) -> None:
        self._reranking = reranking
        self._database = database
        self._index = PassageIndex(database, options)
        self._router = Router(database, self._index, candidate_rows=options.candidate_rows)
        self._documents = DocumentStore(database)
        self._fields = MetadataFields(database)
        self._embedder = embedder
        self._generation: tuple[float, IndexGeneration] | None = None

    async def search(self, principal: Principal, request: SearchRequest) -> list[Passage]:
        """The best `request.k` passages that differ, best first; empty when nothing is indexed or found.

        Raises CollectionNotFound, InvalidInput (InvalidFilter), DatabaseUnavailable, EmbedderMismatch, ProviderError
        (of the embedder).
        """
        return (await self.ranked(principal, request)).passages

    async def ranked(self, principal: Principal, request: SearchRequest) -> Reranked:
        """As `search`, and whether a reranker ordered the passages."""
        if self._reranking is None:
            return Reranked(await self._find(principal, request))
        wide = replace(request, k=max(request.k, self._reranking.candidates))
        reranked = await self._reranking.apply(request.query, await self._find(principal, wide))
        return replace(reranked, passages=reranked.passages[: request.k])

    async def explain(self, principal: Principal, request: SearchRequest) -> Explanation | None:
        """How the search is done, reranking aside; None before the first ingestion. Raises as `search`."""
        await self.require_filter(principal, request.filter)
        generation = await self.generation()
        if generation is None:
            return None
        query, workspace_id = await self._query(request, generation), principal.workspace_id
        routing = await self._router.route(workspace_id, generation, query)
        return Explanation(
            generation=generation.id,
            embedder=generation.embedder,
            route=routing.route,
            in_scope=routing.in_scope,
            passing=round(routing.passing),
            phrases=query.phrases,
            plan=await self._index.explain(workspace_id, generation, query, routing),
        )

    async def _find(self, principal: Principal, request: SearchRequest) -> list[Passage]:
        """The best passages as the index orders them."""
        if not request.query.strip():
            raise InvalidInput("The query is empty.")
        await self.require_filter(principal, request.filter)
        generation = await self.generation()
        passages: list[Passage] = []
        if generation is not None:
            query = await self._query(request, generation)
            routing = await self._router.route(principal.workspace_id, generation, query)
            passages = await self._different(principal, generation, query, routing)
            if query.phrases and request.phrases == "preferred" and len(passages) < request.k:
                others = await self._different(principal, generation, replace(query, phrases=()), routing)
                passages = different([*passages, *others])[: request.k]
        if not passages and request.collection is not None:
            await self.require_collection(principal, request.collection)
        return passages

    async def _different(
        self, principal: Principal, generation: IndexGeneration, query: PassageQuery, routing: Routing
    ) -> list[Passage]:
        """The best passages that differ; where copies took places, others take them."""
        found = await self._index.search(principal.workspace_id, generation, query, routing)
        if len(passages := different(found)) < len(found) == query.k:
            wider = replace(query, k=COPIES * query.k)
            found = await self._index.search(principal.workspace_id, generation, wider, routing)
            passages = different(found)[: query.k]
        return passages

    async def _query(self, request: SearchRequest, generation: IndexGeneration) -> PassageQuery:
        text = request.query.replace("\x00", " ")
        if request.leg == "lexical":
            vector = np.zeros(generation.dimensions, np.float32)
        else:
            with TRACER.start_as_current_span("embed"):
                vector = (await self._embedder.embed_query(without_quotes(text)))[0]
        phrases = () if request.leg == "dense" else quoted_phrases(text)
        return PassageQuery(text, vector, request.collection, request.k, request.leg, phrases, request.filter)

    async def require_collection(self, principal: Principal, name: str) -> None:
        """Raise CollectionNotFound when the workspace has none of that name."""
        if "\x00" in name:
            raise CollectionNotFound
        await self._documents.collection_ids(principal.workspace_id, name)

    async def require_filter(self, principal: Principal, wanted: Filter | None) -> None:
        """Raise InvalidFilter when it names a field or a type that the workspace's documents never had.

        A visitor is not told which fields other collections have, nor where the server keeps its files.
        """
        if principal.collection is None:
            await self._fields.require(principal.workspace_id, wanted)
        elif wanted is not None:
            check_visitors_filter(wanted)

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
