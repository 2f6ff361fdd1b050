"""Routing: which way the dense leg goes, the exact scan or the HNSW index.

Where a filter keeps few rows, an HNSW index finds few or none of them, and PostgreSQL's planner does not know it. So
the number of rows that will pass is estimated beforehand: a collection's size is counted (it is among BM25's
statistics), a filter's share is measured on a sample of rows and remembered for a while.

Without a filter, and where most of the index is in scope, what it yields first is as good as all in order and needs no
guard: that route is `whole`, of the dense leg alone.

Measuring rows one by one takes time for each row that an index brings: with a filter that asks for values those that
pass, else all of the scope. The HNSW index yields candidates from near to far, at least as many as it is broad, and
until as many as are wanted have passed. Whichever is estimated to be done first is taken.
"""

from collections import OrderedDict
from time import monotonic
from uuid import UUID

from psycopg import sql

from app.domain.index import IndexGeneration
from app.storage.engine import Database
from app.storage.passages import PassageIndex, PassageQuery, Routing
from app.storage.search_sql import Route

REMEMBER_S = 30.0
REMEMBER_FILTERS = 1000
SAMPLE_ROWS = 2000
PLENTY = 3  # so many times what is wanted, in what the index yields first, leaves room for an estimate that is off

# Under row-level security, like the hot query's own scope.
_SIZE = """
SELECT coalesce(sum(t.chunks), 0)::bigint,
    (SELECT reltuples FROM pg_class WHERE oid = to_regclass('hnsw_' || %(generation)s)),
    (SELECT greatest(reltuples, 1) FROM pg_class WHERE oid = 'chunk_embedding'::regclass)
FROM lexical_total t JOIN collection c ON c.id = t.collection_id
WHERE t.generation_id = %(generation)s AND (%(collection)s::text IS NULL OR c.name = %(collection)s)
"""
# Whole pages at random, as many as hold about SAMPLE_ROWS rows of everybody's; those of the scope are the sample.
_SHARE = """
SELECT count(*), count(*) FILTER (WHERE {filter})
FROM chunk_embedding l TABLESAMPLE SYSTEM ({percent})
WHERE l.generation_id = {generation} AND l.collection_id IN (
    SELECT id FROM collection WHERE %(collection)s::text IS NULL OR name = %(collection)s
)
"""


class Router:
    """Estimates, remembered."""

    def __init__(self, database: Database, index: PassageIndex, *, candidate_rows: int) -> None:
        """`candidate_rows`: how many rows are measured in the time in which the HNSW index yields a candidate."""
        self._database = database
        self._index = index
        self._candidate_rows = candidate_rows
        self._known: OrderedDict[object, tuple[float, Routing]] = OrderedDict()

    async def route(self, workspace_id: UUID, generation: IndexGeneration, query: PassageQuery) -> Routing:
        """The way that is estimated to be the faster one. Raises DatabaseUnavailable."""
        wanted = self._index.dense_candidates(query)
        alone = query.k if query.leg == "dense" else None  # what `whole` depends on
        key = (workspace_id, generation.id, query.collection, query.filter, wanted, alone)
        now = monotonic()
        known = self._known.get(key)
        if known is not None and now - known[0] < REMEMBER_S:
            return known[1]
        routing = await self._estimate(workspace_id, generation, query, wanted)
        self._known[key] = (now, routing)
        self._known.move_to_end(key)
        while len(self._known) > REMEMBER_FILTERS:
            self._known.popitem(last=False)
        return routing

    async def _estimate(
        self, workspace_id: UUID, generation: IndexGeneration, query: PassageQuery, wanted: int
    ) -> Routing:
        narrowed, parameters = query.narrowed()
        values = {"generation": generation.id, "collection": query.collection, **parameters}
        async with self._database.reading(workspace_id) as connection:
            scope, indexed, rows = await (await connection.execute(_SIZE, values)).fetchone() or (0, None, 1)
            counted = (indexed or 0) > 0
            indexed = max(indexed or 0, scope, 1)
            share = 1.0
            if narrowed is not None and scope > self._candidates(wanted, 1.0):
                percent = min(100.0, 100.0 * SAMPLE_ROWS / rows * max(1.0, rows / scope))
                sample = sql.SQL(_SHARE).format(
                    filter=sql.SQL(narrowed.condition),
                    percent=sql.Literal(percent),
                    generation=sql.Literal(generation.id),
                )
                seen, kept = await (await connection.execute(sample, values)).fetchone() or (0, 0)
                share = (kept + 1) / (seen + 1)
        passing = scope * share
        measured = passing if narrowed is not None and narrowed.keys else scope
        route: Route = "exact" if measured <= self._candidates(wanted, passing / indexed) else "index"
        if route == "index" and query.leg == "dense" and narrowed is None and counted:
            yielded = self._index.breadth(wanted) * passing / indexed  # of those that come first, and in order
            route = "whole" if yielded >= PLENTY * query.k else route
        return Routing(route, int(scope), share)

    def _candidates(self, wanted: int, share: float) -> float:
        """What the index costs, in rows measured, when such a share of what it yields passes."""
        return self._candidate_rows * max(self._index.breadth(wanted), wanted / max(share, 1e-9))
