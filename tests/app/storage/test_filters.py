"""Filters in PostgreSQL: they say what the evaluator says, carry no text of the request, and use the index."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.types.json import Jsonb

from app.domain.filter import Filter, matches
from app.domain.filter_wire import parse_filter
from app.storage.filters import compile_filter, filter_form, keyed, narrow
from app.storage.search_sql import ASKED
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
def schema(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


_OURS, _OTHER = "00000000-0000-7000-8000-00000000c011", "00000000-0000-7000-8000-00000000c012"
_SCOPE = "WITH scope AS (SELECT ARRAY[%(asked)s] AS ids)"
_HAS = "filter_keys(1, %(ours)s, m.metadata) && (SELECT keys FROM asked_{})"


def with_keys(
    connection: psycopg.Connection[Any], wanted: Filter, rows: list[dict[str, Any]], asked: str = _OURS
) -> list[bool]:
    """Whether each of a collection's rows has the keys that a filter asks for, within a collection."""
    narrowed, parameters = narrow(wanted)
    asks = ",".join([_SCOPE, *(ASKED.format(number=number, generation=1) for number in range(narrowed.keys))])
    has = " AND ".join(_HAS.format(number) for number in range(narrowed.keys)) or "true"
    rows_in = "unnest(%(rows)s::jsonb[]) WITH ORDINALITY m(metadata, n)"
    query = f"{asks} SELECT coalesce({has}, false) FROM {rows_in} ORDER BY n"
    parameters |= {"rows": [Jsonb(filter_form(row)) for row in rows], "ours": UUID(_OURS), "asked": UUID(asked)}
    return [row[0] for row in connection.execute(query, parameters)]  # type: ignore[arg-type]


@_MANY
@given(wires=st.lists(WIRE, min_size=1, max_size=5), rows=st.lists(METADATA, min_size=1, max_size=20))
def test_the_index_of_keys_loses_nothing_and_says_when_it_knows_all(
    schema: psycopg.Connection[Any], wires: list[Any], rows: list[dict[str, Any]]
) -> None:
    for wanted in map(parsed, wires):
        found = with_keys(schema, wanted, rows)
        for row, has in zip(rows, found, strict=True):
            assert has >= matches(wanted, row)
            assert has == matches(wanted, row) or not keyed(wanted).whole


@_MANY
@given(operands=st.lists(SCALARS, min_size=1, max_size=6), held=st.lists(VALUES, min_size=1, max_size=12))
def test_any_two_values_have_one_key_when_they_are_equal(
    schema: psycopg.Connection[Any], operands: list[Any], held: list[Any]
) -> None:
    rows = [{"f": value} for value in [*operands, *held, operands]] + [{}]
    for wire in ({"f": {"$in": operands}}, *({"f": value} for value in operands)):
        assert with_keys(schema, parsed(wire), rows) == [matches(parsed(wire), row) for row in rows]


def test_keys_are_those_of_one_collection(schema: psycopg.Connection[Any]) -> None:
    wanted = parsed({"f": "x"})
    assert with_keys(schema, wanted, [{"f": "x"}]) == [True]
    assert with_keys(schema, wanted, [{"f": "x"}], _OTHER) == [False]


@pytest.mark.parametrize(
    ("wire", "groups", "whole"),
    [
        ({"a": 1}, [{"a": (1,)}], True),
        ({"a": {"$in": [1, "x"]}}, [{"a": (1, "x")}], True),
        ({"a": 1, "b": 2}, [{"a": (1,)}, {"b": (2,)}], True),
        ({"$or": [{"a": 1}, {"b": 2}, {"a": 3}]}, [{"a": (1, 3), "b": (2,)}], True),
        ({"a": 1, "b": {"$gt": 2}}, [{"a": (1,)}], False),
        ({"$or": [{"a": 1, "b": 2}, {"c": 3}]}, [{"a": (1,), "c": (3,)}], False),
        ({"$or": [{"a": 1}, {"b": {"$gt": 2}}]}, [], False),
        ({"a": {"$ne": 1}}, [], False),
        ({"a": {"$exists": True}}, [], False),
    ],
)
def test_what_the_index_of_keys_knows_of_a_filter(wire: Any, groups: list[Any], whole: bool) -> None:
    known = keyed(parsed(wire))
    assert (list(known.groups), known.whole) == (groups, whole)


def test_strings_are_ordered_by_code_point_whatever_the_database_s_collation() -> None:
    """The tests' own database sorts that way anyhow, so only the text can tell."""
    text = compile_filter(parsed({"name": {"$gt": "Z", "$lte": "é"}}), _COLUMN)[0].as_string()
    assert text.count(' COLLATE "C" ') == 2
