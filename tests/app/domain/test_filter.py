"""Filters: what they mean, what they refuse and where, which fields there are."""

import math
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import filter as f
from app.domain.errors import InvalidFilter
from app.domain.filter_fields import BUILT_IN, check_filter, filterable, kinds_of
from app.domain.filter_wire import parse_filter
from tests.fixtures.filters import WIRE


def parsed(wire: object) -> f.Filter:
    wanted = parse_filter(wire)
    assert wanted is not None
    return wanted


def refused(wire: object) -> tuple[str, str]:
    """Where a filter is refused, and why."""
    with pytest.raises(InvalidFilter) as error:
        parse_filter(wire)
    pointer, message = error.value.pointer, error.value.message
    assert message.startswith(f"{pointer}: ")
    assert len(message) < 600
    message.encode()
    return pointer, message


def nested(depth: int, operator: str) -> dict[str, Any]:
    wire: dict[str, Any] = {"lang": "en"}
    for _ in range(depth):
        wire = {operator: wire if operator == "$not" else [wire]}
    return wire


def test_the_whole_language() -> None:
    wire = {
        "lang": "en",
        "year": {"$gte": 2020, "$lt": 2024},
        "tag": {"$in": ["a", "b"], "$nin": ["c"]},
        "author": {"$exists": True},
        "draft": {"$exists": False},
        "state": {"$eq": None, "$ne": 1.5},
        "$and": [{"a": 1}],
        "$or": [{"b": 2}, {"c": 3, "d": True}],
        "$not": {"e": "x"},
    }
    of = f.Field
    assert parse_filter(wire) == f.All(
        (
            f.Equals(of("lang"), "en"),
            f.Range(of("year"), gte=2020, lt=2024),
            f.In(of("tag"), ("a", "b")),
            f.Not(f.In(of("tag"), ("c",))),
            f.Exists(of("author")),
            f.Not(f.Exists(of("draft"))),
            f.Equals(of("state"), None),
            f.Not(f.Equals(of("state"), 1.5)),
            f.All((f.Equals(of("a"), 1),)),
            f.Any((f.Equals(of("b"), 2), f.All((f.Equals(of("c"), 3), f.Equals(of("d"), True))))),
            f.Not(f.Equals(of("e"), "x")),
        )
    )


@pytest.mark.parametrize("nothing", [None, {}])
def test_no_condition_is_no_filter(nothing: object) -> None:
    assert parse_filter(nothing) is None


@pytest.mark.parametrize(
    ("wire", "metadata", "wanted"),
    [
        ({"n": 1}, {"n": 1.0}, True),
        ({"n": 1}, {"n": True}, False),
        ({"n": True}, {"n": 1}, False),
        ({"n": 1}, {"n": "1"}, False),
        ({"n": 0.1}, {"n": 0.1}, True),
        ({"n": 10**17 + 1}, {"n": float(10**17)}, False),
        ({"n": None}, {"n": None}, True),
        ({"n": None}, {}, False),
        ({"n": {"$ne": None}}, {}, True),
        ({"n": {"$ne": 1}}, {}, True),
        ({"n": {"$ne": 1}}, {"n": [1, 2]}, False),
        ({"n": [{}]}, {"n": 1}, None),
        ({"n": "a"}, {"n": ["b", "a"]}, True),
        ({"n": "a"}, {"n": [["a"]]}, False),
        ({"n": "a"}, {"n": {"a": "a"}}, False),
        ({"n": {"$in": []}}, {"n": 1}, False),
        ({"n": {"$nin": []}}, {}, True),
        ({"n": {"$in": ["a", 1]}}, {"n": 1.0}, True),
        ({"n": {"$gt": 1}}, {}, False),
        ({"$not": {"n": {"$gt": 1}}}, {}, True),
        ({"n": {"$gt": 1}}, {"n": "2"}, False),
        ({"n": {"$gte": 0}}, {"n": False}, False),
        ({"n": {"$gt": 1, "$lt": 4}}, {"n": [0, 5]}, False),
        ({"n": {"$gt": 1, "$lt": 4}}, {"n": [0, 3, "x"]}, True),
        ({"n": {"$gt": "Z"}}, {"n": "a"}, True),
        ({"n": {"$lt": "a"}}, {"n": "Z"}, True),
        ({"n": {"$gt": "\uffff"}}, {"n": "🦊"}, True),
        ({"n": {"$gte": "2024-01-01"}}, {"n": "2024-03-01T10:00"}, True),
        ({"n": {"$exists": True}}, {"n": None}, True),
        ({"n": {"$exists": True}}, {"n": []}, True),
        ({"n": {"$exists": False}}, {}, True),
        ({"$or": [{"n": 1}, {"n": 2}]}, {"n": 2}, True),
        ({"$and": [{"n": 1}, {"n": 2}]}, {"n": [1, 2]}, True),
    ],
)
def test_what_a_filter_means(wire: dict[str, Any], metadata: dict[str, Any], wanted: bool | None) -> None:
    if wanted is None:
        assert refused(wire)[0] == "/filter/n"
    else:
        assert f.matches(parsed(wire), metadata) is wanted


@pytest.mark.parametrize(
    ("wire", "pointer", "says"),
    [
        ([], "/filter", "expected an object"),
        ("lang = en", "/filter", "got a string"),
        (0, "/filter", "got a number"),
        (False, "/filter", "got true or false"),
        ({"year": {"$gte": [2020]}}, "/filter/year/$gte", "expected a string, a number, true, false or null"),
        ({"year": {"$gte": None}}, "/filter/year/$gte", "a bound is a number or a string, got null"),
        ({"year": {"$lt": True}}, "/filter/year/$lt", "got true or false"),
        ({"year": {"$gte": 2020, "$lt": "x"}}, "/filter/year/$lt", "one type; this is a string, $gte is a number"),
        ({"year": {"$regex": "x"}}, "/filter/year", "there is no operator '$regex'; a field takes $eq"),
        ({"year": {"gte": 1}}, "/filter/year", "there is no operator 'gte'"),
        ({"year": {}}, "/filter/year", "at least one operator"),
        ({"year": {"$eq": {"a": 1}}}, "/filter/year/$eq", "got an object"),
        ({"year": {"$eq": Decimal(1)}}, "/filter/year/$eq", "got an object"),
        ({"year": {"$eq": math.nan}}, "/filter/year/$eq", "not finite"),
        ({"year": -math.inf}, "/filter/year", "not finite"),
        ({"year": 2**63}, "/filter/year", "64 bits"),
        ({"year": -(10**5000)}, "/filter/year", "64 bits"),
        ({"tag": ["a"]}, "/filter/tag", '{"$in": […]}'),
        ({"tag": {"$in": "a"}}, "/filter/tag/$in", "expected a list of values, got a string"),
        ({"tag": {"$in": ["a", ["b"]]}}, "/filter/tag/$in/1", "got a list"),
        ({"tag": {"$nin": [1, math.inf]}}, "/filter/tag/$nin/1", "not finite"),
        ({"tag": {"$in": list(range(1001))}}, "/filter/tag/$in", "1001 values, at most 1000"),
        ({"a": {"$exists": 1}}, "/filter/a/$exists", "true or false, got a number"),
        ({"$and": {"a": 1}}, "/filter/$and", "got an object"),
        ({"$or": []}, "/filter/$or", "got an empty one"),
        ({"$or": [{"a": 1}, 5]}, "/filter/$or/1", "got a number"),
        ({"$or": [{"a": 1}, {}]}, "/filter/$or/1", "states no condition"),
        ({"$and": [{"$or": [{"y": {"$gt": {}}}]}]}, "/filter/$and/0/$or/0/y/$gt", "got an object"),
        ({"$not": []}, "/filter/$not", "got a list"),
        ({"$where": "1"}, "/filter", "there is no operator '$where' here; $and, $or, $not"),
        ({"$eq": 1}, "/filter", "stand in an object of its own"),
        ({"a/b~c": {"$gt": None}}, "/filter/a~1b~0c/$gt", "got null"),
        ({"": 1}, "/filter", "1 to 200 characters"),
        ({"x" * 201: 1}, "/filter", "1 to 200 characters"),
        ({5: 1}, "/filter", "1 to 200 characters"),
        ({"a": "x" * 2001}, "/filter/a", "2001 characters, at most 2000"),
        ({"a": "b\x00"}, "/filter/a", "U+0000"),
        ({"a\x00": "b"}, "/filter", "U+0000"),
        ({"a": {"$in": ["x\ud800y"]}}, "/filter/a/$in/0", "half a surrogate pair at character 1"),
        ({"\udfff": 1}, "/filter", "half a surrogate pair"),
        ({"\udfff" * 300: 1}, "/filter", "1 to 200 characters"),
        ({"a": {"\ud800": 1}}, "/filter/a", "there is no operator"),
        (nested(9, "$not"), "/filter" + "/$not" * 9, "at most 8 deep"),
        (nested(9, "$and"), "/filter" + "/$and/0" * 9, "at most 8 deep"),
        ({"$or": [{"n": n} for n in range(101)]}, "/filter/$or/100/n", "at most 100 conditions"),
        ({"$or": [{"n": {"$gt": n, "$lt": n}} for n in range(51)]}, "/filter/$or/50/n/$gt", "at most 100 conditions"),
    ],
)
def test_a_refusal_says_what_is_wrong_and_where(wire: object, pointer: str, says: str) -> None:
    at, message = refused(wire)
    assert at == pointer
    assert says in message


@pytest.mark.parametrize(
    "wire",
    [
        nested(8, "$not"),
        nested(8, "$or"),
        {"$or": [{"n": n} for n in range(100)]},
        {"a": {"$in": list(range(1000))}},
        {"a": "🦊" * 2000, "ü" * 200: 2**63 - 1, "b": -(2**63)},
    ],
)
def test_the_limits_themselves_are_allowed(wire: object) -> None:
    assert parse_filter(wire) is not None


def test_a_filter_from_a_hostile_depth_is_refused_not_crashed_on() -> None:
    assert "at most 8 deep" in refused(nested(50_000, "$not"))[1]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.characters(codec="utf-16"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["a", "$and", "$or", "$not", "$in", "$gt", "$exists", "$eq"]), inner, max_size=3
        )
    ),
    max_leaves=10,
)


@given(value=_JSON)
def test_any_json_is_a_filter_or_is_refused(value: Any) -> None:
    try:
        wanted = parse_filter(value)
    except InvalidFilter as error:
        assert error.pointer.startswith("/filter")  # noqa: PT017 - either outcome is right
    else:
        assert wanted is None or f.matches(wanted, {"a": 1}) in {True, False}


@given(wire=WIRE)
def test_every_condition_knows_where_it_stands(wire: dict[str, Any]) -> None:
    for condition in f.conditions(parsed(wire)):
        found: Any = {"filter": wire}
        for part in condition.field.pointer.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            found = found[int(key)] if isinstance(found, list) else found[key]
        if isinstance(condition, f.Equals):
            assert condition.value in ([found] if not isinstance(found, dict) else list(found.values()))
        else:
            assert isinstance(found, dict)


FIELDS = kinds_of({"lang": "en", "year": 2020, "tag": ["a", 1], "draft": True, "gone": None, "o": {}, "none": []})


def test_fields_and_their_types_come_from_metadata() -> None:
    assert dict(FIELDS) == {
        "lang": {"string"},
        "year": {"number"},
        "tag": {"string", "number"},
        "draft": {"boolean"},
        "gone": {"null"},
        "o": {"object"},
        "none": set(),
    }
    assert kinds_of({"": 1, "$x": 1, "x" * 201: 1, "ok": [[1]]}) == {"ok": {"array"}}


@pytest.mark.parametrize(
    "wire",
    [
        {"lang": "de", "year": {"$gt": 1.5}, "tag": {"$in": ["a", 2]}, "draft": False, "gone": None},
        {"o": {"$exists": True}, "none": {"$exists": False}, "tag": {"$gt": "a"}},
        {"title": "x", "page": {"$gte": 2}, "source_uri": {"$gte": "file:"}, "language": "de"},
        {"document_id": {"$ne": str(UUID(int=1))}, "media_type": {"$in": ["text/html"]}},
    ],
)
def test_known_fields_and_fitting_types_pass(wire: object) -> None:
    check_filter(parsed(wire), FIELDS)


@pytest.mark.parametrize(
    ("wire", "pointer", "says"),
    [
        ({"$or": [{"lang": "en"}, {"lnag": "en"}]}, "/filter/$or/1/lnag", "'lnag'; did you mean 'lang'?"),
        ({"zzz": {"$exists": True}}, "/filter/zzz", "Known fields: collection_id, document_id, draft, gone, lang"),
        ({"year": "2020"}, "/filter/year", "'year' never holds strings; it holds numbers"),
        ({"year": {"$ne": True}}, "/filter/year/$ne", "never holds true or false"),
        ({"year": {"$lt": 1, "$gte": 2}, "lang": {"$gte": 3}}, "/filter/lang/$gte", "never holds numbers"),
        ({"tag": {"$nin": ["a", None]}}, "/filter/tag/$nin/1", 'it holds strings and numbers; {"$exists": false}'),
        ({"page": "2"}, "/filter/page", "never holds strings; it holds numbers"),
        ({"o": "x"}, "/filter/o", "it holds objects"),
        ({"none": "x"}, "/filter/none", "nothing but empty lists"),
    ],
)
def test_unknown_fields_and_wrong_types_are_refused(wire: object, pointer: str, says: str) -> None:
    with pytest.raises(InvalidFilter) as error:
        check_filter(parsed(wire), FIELDS)
    assert error.value.pointer == pointer
    assert says in error.value.message


def test_a_long_list_of_known_fields_is_cut() -> None:
    with pytest.raises(InvalidFilter, match=r"Known fields: collection_id, document_id, f0, .* and 87 more\.") as error:
        check_filter(parsed({"zzz": 1}), {f"f{number}": frozenset({"number"}) for number in range(100)})
    assert len(error.value.message) < 600


def test_built_in_fields_win_where_they_have_a_value() -> None:
    given = {"title": "mine", "page": "mine", "language": "mine", "lang": "en"}
    merged = filterable(given, collection_id="c", document_id="d", source_uri="u", title="t", media_type="m", page=3)
    assert merged == {
        "collection_id": "c",
        "document_id": "d",
        "source_uri": "u",
        "title": "t",
        "media_type": "m",
        "page": 3,
        "language": "mine",
        "lang": "en",
    }
    assert merged.keys() - given.keys() | {"title", "page", "language"} == BUILT_IN.keys()
