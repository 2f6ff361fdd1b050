"""Runner: a data set's queries through the real retrieval, each timed."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from app.domain.passage import Leg, Passage
from app.domain.ports import Embedder, Vectors
from app.domain.principal import Principal
from app.services.retrieval import Retrieval, SearchRequest
from evals.corpus import SCHEME
from evals.progress import Progress

K = 100


@dataclass(frozen=True, slots=True)
class Found:
    """What a query found, best first, and how long that took (ms, without the embedding of the query).

    `reranked`: a reranker ordered it.
    """

    passages: tuple[Passage, ...]
    ms: float
    reranked: bool = False

    @property
    def documents(self) -> list[str]:
        """Ids of the data set's documents, each at its best passage."""
        return document_ids(passage.uri for passage in self.passages)


def document_ids(uris: Iterable[str]) -> list[str]:
    """Source URIs in their order as the data set's ids, without repetitions."""
    return list(dict.fromkeys(uri.removeprefix(SCHEME) for uri in uris))


class QueryVectors:
    """An embedder that looks the vectors of known questions up, so that searching is timed without embedding."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._vectors: dict[str, Vectors] = {}
        self.ms: list[float] = []

    @property
    def name(self) -> str:
        """The embedder's."""
        return self._embedder.name

    @property
    def dimensions(self) -> int:
        """The embedder's."""
        return self._embedder.dimensions

    async def learn(self, questions: Sequence[str], progress: Progress) -> None:
        """Embed questions; `ms` gets the time of each."""
        task = progress.start("embedding queries", len(questions))
        await self._embedder.embed_query(questions[0])  # a model that loads on first use has loaded now
        for question in questions:
            started = perf_counter()
            self._vectors[question] = await self._embedder.embed_query(question)
            self.ms.append((perf_counter() - started) * 1000)
            progress.advance(task)

    async def embed_query(self, text: str) -> Vectors:
        """A question's vector, shape (1, dimensions)."""
        known = self._vectors.get(text)
        return known if known is not None else await self._embedder.embed_query(text)

    async def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """The embedder's."""
        return await self._embedder.embed_passages(texts)

    async def close(self) -> None:
        """Nothing of its own is held."""


async def run_queries(
    retrieval: Retrieval,
    queries: Mapping[str, str],
    collection: str,
    leg: Leg,
    progress: Progress,
    *,
    concurrency: int,
) -> dict[str, Found]:
    """The best K passages for each query by id, at most `concurrency` at a time."""
    task = progress.start(f"searching, {leg}", len(queries))
    slots = asyncio.Semaphore(concurrency)

    async def search(text: str) -> Found:
        async with slots:
            started = perf_counter()
            request = SearchRequest(text, K, collection, leg=leg, phrases="preferred")  # as for an answer
            ranked = await retrieval.ranked(Principal(), request)
            found = Found(tuple(ranked.passages), (perf_counter() - started) * 1000, reranked=ranked.applied is True)
        progress.advance(task)
        return found

    # untimed: connections open, statements are prepared
    warm_up = next(iter(queries.values()))
    await asyncio.gather(
        *(retrieval.search(Principal(), SearchRequest(warm_up, K, collection, leg=leg)) for _ in range(concurrency))
    )
    found = await asyncio.gather(*map(search, queries.values()))
    return dict(zip(queries, found, strict=True))


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which so many percent lie, interpolated."""
    return float(np.percentile(values, percent))
