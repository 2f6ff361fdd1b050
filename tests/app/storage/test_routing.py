"""Routing: few rows are measured one by one, many go through the index, and the estimates are near the truth."""

import random
from dataclasses import replace

import numpy as np
import pytest

from app.domain.filter_wire import parse_filter
from app.domain.principal import DEFAULT_WORKSPACE_ID as WORKSPACE
from app.storage.passages import PassageIndex, PassageQuery, SearchOptions
from app.storage.routing import Router
from tests.app.storage.conftest import Store, random_text


@pytest.mark.parametrize(
    ("candidate_rows", "collection", "kept", "route"),
    [(0, None, 100, "index"), (8, None, 30, "exact"), (8, None, 120, "index"), (8, "two", 60, "exact")],
)
async def test_the_way_that_reads_less_is_taken(
    store: Store, candidate_rows: int, collection: str | None, kept: int, route: str
) -> None:
    """Of 200 rows, 5 wanted, an index 5 broad: 30 that pass cost 30 or 8 · 5 · 200 / 30, and 120 cost 120 or 67."""
    rng = random.Random(4)
    for n in range(200):
        await store.write(f"t:{n}", random_text(rng), metadata={"kept": n < kept}, collection="two" if n % 4 else "one")
    vector, kept_ones = np.ones(16, np.float32), parse_filter({"kept": True})
    index = PassageIndex(store.database, SearchOptions(ef_search=5))
    router = Router(store.database, index, candidate_rows=candidate_rows)
    query = PassageQuery("", vector, collection, 5, "dense", (), kept_ones)
    routing = await router.route(WORKSPACE, store.generation, query)
    expected = kept * 3 / 4 if collection else kept
    assert (routing.route, routing.in_scope) == (route, 150 if collection else 200)
    assert expected * 0.8 - 1 < routing.passing < expected * 1.2 + 1


async def write_sixty(store: Store) -> None:
    """Fifteen documents in one collection, the others in the other."""
    rng = random.Random(5)
    for n in range(60):
        await store.write(f"t:{n}", random_text(rng), collection="two" if n % 4 else "one")


async def test_an_index_that_is_mostly_wanted_needs_no_guard(store: Store) -> None:
    """Of 60 rows 45 are in one collection: 24 that the index yields first hold 5 of those for sure, not of the rest."""
    await write_sixty(store)
    index = PassageIndex(store.database, SearchOptions(ef_search=24))
    query = PassageQuery("", np.ones(16, np.float32), None, 5, "dense")
    uncounted = Router(store.database, index, candidate_rows=0)
    assert (await uncounted.route(WORKSPACE, store.generation, query)).route == "index"
    async with store.database.connection(WORKSPACE) as connection:
        await connection.execute("ANALYZE chunk_embedding")
    router = Router(store.database, index, candidate_rows=0)
    for expected, asked in (
        ("whole", query),
        ("whole", replace(query, collection="two")),
        ("index", replace(query, collection="one")),
        ("index", replace(query, k=10)),
        ("index", replace(query, leg="hybrid")),
        ("index", replace(query, filter=parse_filter({"kept": True}))),
    ):
        assert (await router.route(WORKSPACE, store.generation, asked)).route == expected


async def test_a_large_scope_goes_through_the_index(store: Store) -> None:
    await write_sixty(store)
    router = Router(store.database, PassageIndex(store.database, SearchOptions(ef_search=5)), candidate_rows=4)
    query = PassageQuery("", np.ones(16, np.float32), None, 5, "dense")
    everything = await router.route(WORKSPACE, store.generation, query)
    assert (everything.route, everything.in_scope, everything.passing) == ("index", 60, 60)
    small = await router.route(WORKSPACE, store.generation, replace(query, collection="one"))
    assert (small.route, small.in_scope, small.passing) == ("exact", 15, 15)
