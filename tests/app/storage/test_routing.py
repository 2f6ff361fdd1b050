"""Routing: few rows are measured one by one, many go through the index, and the estimates are near the truth."""

import random

import numpy as np
import pytest

from app.domain.filter_wire import parse_filter
from app.domain.principal import DEFAULT_WORKSPACE_ID as WORKSPACE
from app.storage.passages import PassageQuery
from app.storage.routing import Router
from tests.app.storage.conftest import Store, random_text


@pytest.mark.parametrize(("walk_rows", "kept", "route"), [(0, 100, "index"), (8, 20, "exact"), (8, 60, "index")])
async def test_the_ways_cross_where_they_cost_the_same(store: Store, walk_rows: int, kept: int, route: str) -> None:
    """Of 200 rows, at 8 rows a walk: √(200 · 8) = 40."""
    rng = random.Random(4)
    for n in range(200):
        await store.write(f"t:{n}", random_text(rng), metadata={"kept": n < kept}, collection="two" if n % 4 else "one")
    vector, kept_ones = np.ones(16, np.float32), parse_filter({"kept": True})
    router = Router(store.database, walk_rows=walk_rows)
    routing = await router.route(WORKSPACE, store.generation, PassageQuery("", vector, None, 5, "dense", (), kept_ones))
    assert (routing.route, routing.in_scope) == (route, 200)
    assert kept * 0.8 - 1 < routing.passing < kept * 1.2 + 1
    alone = await router.route(WORKSPACE, store.generation, PassageQuery("", vector, "one", 5, "dense"))
    assert (alone.in_scope, alone.passing) == (50, 50)
    assert alone.route == "index"  # 50 are more than √(50 · 8), and than 0
