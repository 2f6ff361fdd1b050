"""Filters in PostgreSQL: they say what the evaluator says, carry no text of the request, and use the index."""

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.types.json import Jsonb

from app.domain.filter import Filter, matches
from app.domain.filter_wire import parse_filter
from app.storage.filters import compile_filter, filter_form
from tests.fixtures.filters import HOSTILE, METADATA, SCALARS, VALUES, WIRE

_COLUMN = sql.SQL("m.metadata")
_MANY = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def connection(endpoints: tuple[str, str]) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(endpoints[0], autocommit=True) as connection:
        yield connection


def parsed(wire: object) -> Filter:
    wanted = parse_filter(wire)
    assert wanted is not None
    return wanted


def in_sql(
    connection: psycopg.Connection[Any], filters: list[Filter], rows: list[dict[str, Any]]
) -> list[list[bool | None]]:
    """For each row what each filter says, all in one query."""
    compiled = [compile_filter(wanted, _COLUMN, f"f{number}_") for number, wanted in enumerate(filters)]
    parameters = {name: value for _, bound in compiled for name, value in bound.items()}
    query = sql.SQL("SELECT {} FROM unnest(%(rows)s::jsonb[]) WITH ORDINALITY m(metadata, n) ORDER BY n").format(
        sql.SQL(", ").join(expression for expression, _ in compiled)
    )
    found = connection.execute(query, {**parameters, "rows": [Jsonb(filter_form(row)) for row in rows]})
    return [list(row) for row in found]


@_MANY
@given(wires=st.lists(WIRE, min_size=1, max_size=10), rows=st.lists(METADATA, min_size=1, max_size=20))
def test_any_filter_means_the_same_in_sql(
    connection: psycopg.Connection[Any], wires: list[Any], rows: list[dict[str, Any]]
) -> None:
    filters = [parsed(wire) for wire in wires]
    assert in_sql(connection, filters, rows) == [[matches(wanted, row) for wanted in filters] for row in rows]


@_MANY
@given(operands=st.lists(SCALARS, min_size=1, max_size=6), held=st.lists(VALUES, min_size=1, max_size=12))
def test_any_two_values_compare_the_same_in_sql(
    connection: psycopg.Connection[Any], operands: list[Any], held: list[Any]
) -> None:
    filters = [parsed({"f": {"$in": operands}})]
    for value in operands:
        filters.append(parsed({"f": value}))
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            filters += [parsed({"f": {operator: value}}) for operator in ("$gt", "$gte", "$lt", "$lte")]
    rows = [{"f": value} for value in [*operands, *held, operands]] + [{}]
    assert in_sql(connection, filters, rows) == [[matches(wanted, row) for wanted in filters] for row in rows]


def _skeleton(wire: Any, number: Iterator[int]) -> Any:
    """The same filter with harmless names and values."""
    if isinstance(wire, dict):
        return {
            (key if key.startswith("$") else f"name{next(number)}"): _skeleton(value, number)
            for key, value in wire.items()
        }
    if isinstance(wire, list):
        return [_skeleton(value, number) for value in wire]
    return "x" if isinstance(wire, str) else wire


@_MANY
@given(wire=WIRE)
def test_the_text_depends_on_the_shape_alone(wire: Any) -> None:
    text = compile_filter(parsed(wire), _COLUMN)[0].as_string()
    assert text == compile_filter(parsed(_skeleton(wire, iter(range(1000)))), _COLUMN)[0].as_string()


@pytest.mark.parametrize("hostile", [text for text in HOSTILE if text and not text.startswith("$")])
def test_no_name_and_no_value_is_in_the_text(connection: psycopg.Connection[Any], hostile: str) -> None:
    marked = f"QZ{hostile}ZQ"
    wire = {
        marked: {"$eq": marked, "$in": [marked], "$gte": marked, "$exists": True, "$nin": [marked + "2"]},
        "$or": [{marked: marked}, {"$not": {marked: {"$lt": marked}}}],
    }
    text = compile_filter(parsed(wire), _COLUMN)[0].as_string()
    assert "QZ" not in text
    assert "ZQ" not in text
    assert in_sql(connection, [parsed(wire)], [{marked: marked}, {marked: [marked]}, {}]) == [[True], [True], [False]]


@pytest.fixture
def indexed(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A table `m` of 2,000 rows with the index that filters are made for."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE m (metadata jsonb NOT NULL)")
        connection.execute("""
            INSERT INTO m SELECT jsonb_build_object(
                'lang', jsonb_build_array('l' || n % 100),
                'year', jsonb_build_array(n),
                'tag', jsonb_build_array(n % 50)
            )
            FROM generate_series(1, 2000) n
        """)
        connection.execute("CREATE INDEX m_metadata ON m USING gin (metadata jsonb_path_ops)")
        connection.execute("ANALYZE m")
        yield connection


@pytest.mark.parametrize(
    ("wire", "rows"),
    [
        ({"lang": "l7"}, 20),
        ({"tag": 7}, 40),
        ({"lang": {"$in": ["l7", "l8", 3]}}, 40),
        ({"lang": "l7", "year": {"$lt": 1000}}, 10),
        ({"year": {"$gte": 1000}, "$and": [{"tag": 7}, {"$not": {"lang": "l57"}}]}, 10),
        ({"$or": [{"lang": "l7"}, {"tag": 8}]}, 60),
    ],
)
def test_equality_is_found_by_the_index(indexed: psycopg.Connection[Any], wire: Any, rows: int) -> None:
    expression, parameters = compile_filter(parsed(wire), _COLUMN)
    query = sql.SQL("SELECT 1 FROM m WHERE {}").format(expression)
    assert len(indexed.execute(query, parameters).fetchall()) == rows
    plan = indexed.execute(sql.SQL("EXPLAIN (FORMAT json) {}").format(query), parameters).fetchone()
    assert "m_metadata" in json.dumps(plan)
    indexed.execute("SET plan_cache_mode = force_generic_plan")
    plan = indexed.execute(sql.SQL("EXPLAIN (FORMAT json) {}").format(query), parameters, prepare=True).fetchone()
    assert "m_metadata" in json.dumps(plan), "a prepared statement's generic plan too"


def test_strings_are_ordered_by_code_point_whatever_the_database_s_collation() -> None:
    """The tests' own database sorts that way anyhow, so only the text can tell."""
    text = compile_filter(parsed({"name": {"$gt": "Z", "$lte": "é"}}), _COLUMN)[0].as_string()
    assert text.count(' COLLATE "C" ') == 2
