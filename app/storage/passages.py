"""Passages: the hot query, both retrieval legs fused in one round trip."""

import re
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from pgvector import HalfVector
from psycopg import AsyncRawCursor
from psycopg.rows import tuple_row

from app.domain.filter import Filter
from app.domain.index import IndexGeneration
from app.domain.passage import Leg, Passage
from app.domain.ports import Vectors
from app.storage.engine import Database
from app.storage.filters import Narrowed, narrow
from app.storage.search_sql import Fusion, Route, Shape, statement

PHRASE_CANDIDATES = 5_000  # chunks with a phrase's words that are read, best first, to see whether they hold it
FEW = 5_000  # of no more chunks that a filter keeps, or chooses from, the lexical leg scores all with a word
PER_WORD = 400  # where it keeps more, so many of a common word's candidates are estimated to pass, at least
WIDENED = 2.0  # and as many as there are without a filter, where it keeps at least one in so many
_VECTOR = re.compile(r"'\[[-0-9.e,]*\]'")


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How passages are searched.

    `dense_candidates` and `lexical_candidates` are what each leg proposes; `rare_cap` is how common a word may be, at
    least, for all its chunks to be candidates of the lexical leg (of commoner words those where it weighs most). `k1`
    and `b` are BM25's; `dense_weight` is the dense leg's share in the fusion of scores, where that is `adaptive` before
    the query moves it; `candidate_rows` how many chunks are measured one by one in the time in which the HNSW index
    yields one candidate (see routing); `ef_search` the index's breadth.
    """

    fusion: Fusion = "adaptive"
    dense_weight: float = 0.35
    rrf_k: int = 60
    dense_candidates: int = 150
    lexical_candidates: int = 150
    rare_cap: int = 500
    k1: float = 1.2
    b: float = 0.75
    candidate_rows: int = 16
    ef_search: int = 150


@dataclass(frozen=True, slots=True)
class PassageQuery:
    """What to search for: `vector` (1, dimensions) or (dimensions,) for the dense leg, `text` for the words.

    `collection` names the scope (None: every collection of the workspace). `phrases` must stand in a passage as such.
    """

    text: str
    vector: Vectors
    collection: str | None
    k: int
    leg: Leg
    phrases: tuple[str, ...] = ()
    filter: Filter | None = None

    def narrowed(self) -> tuple[Narrowed | None, dict[str, object]]:
        """The filter as statements ask it, and its parameters."""
        return narrow(self.filter) if self.filter else (None, {})


@dataclass(frozen=True, slots=True)
class Routing:
    """The way of the dense leg; how many rows are in scope, and which share of them is estimated to pass the filter."""

    route: Route
    in_scope: int = 0
    share: float = 1.0

    @property
    def passing(self) -> float:
        """How many rows are estimated to pass."""
        return self.in_scope * self.share


class PassageIndex:
    """Searches the chunks of one workspace."""

    def __init__(self, database: Database, options: SearchOptions) -> None:
        self._database = database
        self._options = options

    async def search(
        self, workspace_id: UUID, generation: IndexGeneration, query: PassageQuery, routing: Routing
    ) -> list[Passage]:
        """The best `query.k` passages, best first; one statement, one round trip.

        Another one where `whole` finds less than that. Raises DatabaseUnavailable.
        """
        text, values = self._statement(generation, query, routing)
        async with self._database.reading(workspace_id, self.tuning(query)) as connection:
            cursor = AsyncRawCursor(connection, row_factory=tuple_row)
            await cursor.execute(text, values, prepare=True, binary=True)
            rows = await cursor.fetchall()
        if routing.route == "whole" and len(rows) < query.k:
            return await self.search(workspace_id, generation, query, replace(routing, route="index"))
        return [_passage(row) for row in rows]

    async def explain(
        self, workspace_id: UUID, generation: IndexGeneration, query: PassageQuery, routing: Routing
    ) -> list[str]:
        """PostgreSQL's plan of the same search, with the rows and milliseconds of each step; it runs for that.

        Raises DatabaseUnavailable.
        """
        text, values = self._statement(generation, query, routing)
        async with self._database.reading(workspace_id, self.tuning(query)) as connection:
            cursor = AsyncRawCursor(connection, row_factory=tuple_row)
            await cursor.execute(b"EXPLAIN (ANALYZE, SETTINGS, BUFFERS OFF, COSTS OFF) " + text, values)
            return [_VECTOR.sub("'[…]'", line) for (line,) in await cursor.fetchall()]

    def _statement(
        self, generation: IndexGeneration, query: PassageQuery, routing: Routing
    ) -> tuple[bytes, list[object]]:
        narrowed, parameters = query.narrowed()
        few = narrowed is not None and narrowed.keys > 0 and routing.passing <= FEW
        shape = Shape(
            generation, query.leg, routing.route, self._options.fusion, narrowed, bool(query.phrases), few=few
        )
        found = statement(shape)
        return found.text, found.arguments(self._values(query, routing) | parameters)

    def tuning(self, query: PassageQuery) -> dict[str, str]:
        """PostgreSQL settings that the query wants."""
        return {"hnsw.ef_search": str(self.breadth(self.dense_candidates(query)))}

    def breadth(self, candidates: int) -> int:
        """How many candidates the HNSW index looks at, at least."""
        return min(1000, max(self._options.ef_search, candidates))

    def dense_candidates(self, query: PassageQuery, route: Route = "index") -> int:
        """How many the dense leg proposes; alone a few more than are wanted of an iterating index, not in order."""
        if query.leg == "dense":
            return query.k if route != "index" else max(query.k, min(2 * query.k, self._options.ef_search))
        return max(query.k, self._options.dense_candidates)

    def _values(self, query: PassageQuery, routing: Routing) -> dict[str, Any]:
        alone = query.leg == "lexical" and not query.phrases
        lexical = max(query.k, 0 if alone else self._options.lexical_candidates)
        cap = float(self._options.rare_cap)
        if query.filter:
            cap = max(cap, PER_WORD / routing.share, routing.in_scope if routing.in_scope <= FEW else 0)
        return {
            "text": query.text,
            "vector": HalfVector(query.vector),
            "collection": query.collection,
            "k": query.k,
            "dense_candidates": self.dense_candidates(query, routing.route),
            "lexical_candidates": lexical,
            "likely": likely_for(lexical),
            "cap": cap,
            "widened": min(1 / routing.share, WIDENED),
            "k1": self._options.k1,
            "b": self._options.b,
            "rrf_k": self._options.rrf_k,
            "dense_weight": self._options.dense_weight,
            "phrases": list(query.phrases),
            "phrase_candidates": PHRASE_CANDIDATES,
        }


def likely_for(candidates: int) -> int:
    """How many chunks the lexical leg scores exactly, to be sure of its best `candidates`."""
    return candidates + max(50, candidates // 2)


def _passage(row: tuple[Any, ...]) -> Passage:
    i, document, version, title, uri, path, page, start, end, text, score, similarity, metadata, lexical, space = row
    return Passage(
        id=i,
        document_id=document,
        version_id=version,
        title=title,
        uri=uri,
        heading_path=tuple(path),
        page=page,
        char_start=start,
        char_end=end,
        text=text,
        score=score,
        similarity=similarity,
        metadata=metadata,
        lexical=lexical,
        space_after=space,
    )
