"""Plans: which indexes PostgreSQL uses for each hot query at the size loaded."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import tuple_row

from app.domain.filter import Equals, Field, Filter
from app.domain.index import IndexGeneration
from app.domain.passage import Leg
from app.domain.principal import DEFAULT_WORKSPACE_ID
from app.storage.engine import Database
from app.storage.filters import narrow
from app.storage.search_sql import Fusion, Route, Shape, numbered, statement
from evals.bench.bare import BareSql
from evals.bench.probes import Narrowing
from evals.bench.tables import number, print_rows


@dataclass(frozen=True, slots=True)
class Plan:
    """What a plan reads: indexes by name, tables read whole, and its estimated cost."""

    indexes: tuple[str, ...]
    scans: tuple[str, ...]
    cost: float


async def run_plans(
    database: Database, generation: IndexGeneration, fusion: Fusion, bare: Mapping[str, tuple[BareSql, Narrowing]]
) -> dict[str, Any]:
    """Plan every shape of our own statement, and the bare ones, as prepared (generic plans); print and report."""
    report = dict[str, Any]()
    wanted = Equals(Field("free_10"), "yes")
    async with database.reading(DEFAULT_WORKSPACE_ID) as connection:
        for name, shape in _shapes(generation, fusion, wanted):
            report[name] = await _plan(connection, statement(shape).text)
    for name, (one, narrowing) in bare.items():
        async with one.connection() as own:
            report[name] = await _plan(own, numbered(one.statement(narrowing).as_string(own)).text)
    rows = [
        [name, ", ".join(plan.indexes) or number(None), ", ".join(plan.scans) or number(None), number(plan.cost, 0)]
        for name, plan in report.items()
    ]
    print_rows("plans", ("query", "indexes", "tables read whole", "cost"), rows)
    return {name: {"indexes": plan.indexes, "scans": plan.scans, "cost": plan.cost} for name, plan in report.items()}


def _shapes(generation: IndexGeneration, fusion: Fusion, wanted: Filter) -> Iterator[tuple[str, Shape]]:
    # the route is the dense leg's, and `whole` of that leg alone, without a filter
    routes: dict[Leg, tuple[Route, ...]] = {
        "dense": ("index", "exact", "whole"),
        "lexical": ("index",),
        "hybrid": ("index", "exact"),
    }
    filtered, _ = narrow(wanted)
    for leg, ways in routes.items():
        for route in ways:
            for condition in (None,) if route == "whole" else (None, filtered):
                name = f"{leg}{'' if leg == 'lexical' else f', {route}'}{', filter' if condition else ''}"
                yield name, Shape(generation, leg, route, fusion, condition, few=bool(condition) and route == "exact")


async def _plan(connection: AsyncConnection[Any], query: bytes) -> Plan:
    """The generic plan of a query with PostgreSQL's own placeholders, as when it is prepared."""
    cursor = connection.cursor(row_factory=tuple_row)
    await cursor.execute(b"EXPLAIN (GENERIC_PLAN, FORMAT JSON) " + query)
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - EXPLAIN gives one row
    top = row[0][0]["Plan"]
    nodes = list(_nodes(top))
    indexes = dict.fromkeys(node["Index Name"] for node in nodes if "Index Name" in node)
    scans = dict.fromkeys(node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan")
    return Plan(tuple(indexes), tuple(scans), float(top["Total Cost"]))


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)
