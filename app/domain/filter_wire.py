"""Filter, wire form: the JSON that clients send, as in MongoDB, Pinecone and Chroma.

    {"lang": "en", "year": {"$gte": 2020, "$lt": 2024}, "tag": {"$in": ["a", "b"]}, "author": {"$exists": true},
     "$and": [{…}, …], "$or": [{…}, …], "$not": {…}}

The entries of one object are joined by and; so are the operators of one field.
"""

import math
from collections.abc import Mapping
from itertools import islice
from typing import Final

from app.domain.errors import InvalidFilter
from app.domain.filter import (
    MAX_CONDITIONS,
    MAX_DEPTH,
    MAX_NAME_CHARS,
    MAX_STRING_CHARS,
    MAX_VALUES,
    All,
    Any,
    Equals,
    Exists,
    Field,
    Filter,
    In,
    Kind,
    Not,
    Range,
    Scalar,
    kind_of,
)

GROUPS: Final = ("$and", "$or", "$not")
BOUNDS: Final = ("$gt", "$gte", "$lt", "$lte")
OPERATORS: Final = ("$eq", "$ne", "$in", "$nin", *BOUNDS, "$exists")
ROOT: Final = "/filter"
_INTEGERS = range(-(2**63), 2**63)
_NAMES: dict[Kind, str] = {
    "string": "a string",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
    "object": "an object",
    "array": "a list",
}


def parse_filter(value: object) -> Filter | None:
    """The filter that JSON from outside states; None for null and for `{}`, which state nothing.

    Raises InvalidFilter with what is wrong, what is allowed, and where (a JSON pointer that begins with `/filter`).
    """
    return None if value is None or value == {} else _Parser().group(value, ROOT, 0)


def filter_json(wanted: Filter) -> dict[str, object]:
    """The filter in the form in which clients send it; `parse_filter` makes an equal one of it."""
    match wanted:
        case All(parts):
            return {"$and": [filter_json(part) for part in parts]}
        case Any(parts):
            return {"$or": [filter_json(part) for part in parts]}
        case Not(part):
            return {"$not": filter_json(part)}
        case Equals(field, value):
            return {field.name: {"$eq": value}}
        case In(field, values):
            return {field.name: {"$in": list(values)}}
        case Range(field):
            return {field.name: {f"${name}": bound for name, bound in wanted.bounds.items()}}
        case Exists(field):
            return {field.name: {"$exists": True}}


class _Parser:
    """Parses one filter; counts its conditions."""

    def __init__(self) -> None:
        self._conditions = 0

    def group(self, value: object, pointer: str, depth: int) -> Filter:
        """An object of conditions."""
        if not isinstance(value, Mapping):
            raise InvalidFilter(
                f'expected an object of conditions like {{"year": {{"$gte": 2020}}}}, got {_NAMES[kind_of(value)]}.',
                pointer,
            )
        if not value:
            raise InvalidFilter("this object states no condition; put one in, or leave the object out.", pointer)
        if depth > MAX_DEPTH:
            raise InvalidFilter(f"$and, $or and $not may be nested at most {MAX_DEPTH} deep.", pointer)
        return _joined([part for key, inner in value.items() for part in self._entry(key, inner, pointer, depth)])

    def _entry(self, key: object, inner: object, pointer: str, depth: int) -> list[Filter]:
        name = _name(key, pointer)
        at = f"{pointer}/{_escaped(name)}"
        match name:
            case "$and":
                return [All(self._parts(inner, at, depth))]
            case "$or":
                return [Any(self._parts(inner, at, depth))]
            case "$not":
                return [Not(self.group(inner, at, depth + 1))]
        if name.startswith("$"):
            raise InvalidFilter(
                f"there is no operator {name!r} here; {', '.join(GROUPS)} and field names are allowed, and a field's "
                f"operators ({', '.join(OPERATORS)}) stand in an object of its own.",
                pointer,
            )
        if isinstance(inner, Mapping):
            return self._operators(Field(name, at), inner)
        if isinstance(inner, list | tuple):
            raise InvalidFilter('expected one value, got a list; write {"$in": […]} for one of several.', at)
        self._count(at)
        return [Equals(Field(name, at), _scalar(inner, at), at)]

    def _parts(self, inner: object, at: str, depth: int) -> tuple[Filter, ...]:
        if not isinstance(inner, list | tuple) or not inner:
            got = "an empty one" if inner in ([], ()) else _NAMES[kind_of(inner)]
            raise InvalidFilter(f"expected a list with at least one object of conditions, got {got}.", at)
        return tuple(self.group(part, f"{at}/{number}", depth + 1) for number, part in enumerate(inner))

    def _operators(self, field: Field, inner: Mapping[object, object]) -> list[Filter]:
        """A field's operators; its bounds are one condition."""
        if not inner:
            raise InvalidFilter(f"expected a value or at least one operator of {', '.join(OPERATORS)}.", field.pointer)
        found: list[Filter] = []
        bounds: dict[str, str | int | float] = {}
        for operator, operand in inner.items():
            if operator not in OPERATORS:
                raise InvalidFilter(
                    f"there is no operator {_shown(operator)!r}; a field takes {', '.join(OPERATORS)}.", field.pointer
                )
            at = f"{field.pointer}/{operator}"
            self._count(at)
            if operator in BOUNDS:
                bounds[str(operator)[1:]] = _bound(operand, at, bounds)
            else:
                found.append(_condition(field, str(operator), operand, at))
        return [*found, Range(field, **bounds)] if bounds else found

    def _count(self, at: str) -> None:
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            raise InvalidFilter(f"a filter may have at most {MAX_CONDITIONS} conditions.", at)


def _joined(parts: list[Filter]) -> Filter:
    return parts[0] if len(parts) == 1 else All(tuple(parts))


def _condition(field: Field, operator: str, operand: object, at: str) -> Filter:
    match operator:
        case "$eq":
            return Equals(field, _scalar(operand, at), at)
        case "$ne":
            return Not(Equals(field, _scalar(operand, at), at))
        case "$in":
            return In(field, _values(operand, at), at)
        case "$nin":
            return Not(In(field, _values(operand, at), at))
    if not isinstance(operand, bool):
        raise InvalidFilter(f"$exists takes true or false, got {_NAMES[kind_of(operand)]}.", at)
    return Exists(field) if operand else Not(Exists(field))


def _values(operand: object, at: str) -> tuple[Scalar, ...]:
    if not isinstance(operand, list | tuple):
        raise InvalidFilter(f"expected a list of values, got {_NAMES[kind_of(operand)]}.", at)
    if len(operand) > MAX_VALUES:
        raise InvalidFilter(f"the list has {len(operand)} values, at most {MAX_VALUES} are allowed.", at)
    return tuple(_scalar(value, f"{at}/{number}") for number, value in enumerate(operand))


def _bound(operand: object, at: str, others: Mapping[str, str | int | float]) -> str | int | float:
    value, kind = _scalar(operand, at), kind_of(operand)
    if value is None or kind not in {"number", "string"}:
        raise InvalidFilter(f"a bound is a number or a string, got {_NAMES[kind]}.", at)
    for name, other in islice(others.items(), 1):
        if kind_of(other) != kind:
            raise InvalidFilter(
                f"the bounds of one field have one type; this is {_NAMES[kind]}, ${name} is {_NAMES[kind_of(other)]}.",
                at,
            )
    return value


def _scalar(value: object, at: str) -> Scalar:
    """A value to compare with, within the limits."""
    match value:
        case None | bool():
            return value
        case int():
            if value not in _INTEGERS:
                raise InvalidFilter("whole numbers must fit into 64 bits (±9.2e18).", at)
            return value
        case float():
            if not math.isfinite(value):
                raise InvalidFilter("the number is not finite; NaN and infinities cannot be compared.", at)
            return value
        case str():
            if len(value) > MAX_STRING_CHARS:
                raise InvalidFilter(
                    f"the string has {len(value)} characters, at most {MAX_STRING_CHARS} are allowed.", at
                )
            _require_text(value, "the string", at)
            return value
    raise InvalidFilter(f"expected a string, a number, true, false or null, got {_NAMES[kind_of(value)]}.", at)


def _name(key: object, pointer: str) -> str:
    """A field's name, within the limits; a fault is placed at the object that holds it."""
    if not isinstance(key, str) or not 0 < len(key) <= MAX_NAME_CHARS:
        raise InvalidFilter(f"field names have 1 to {MAX_NAME_CHARS} characters; {_shown(key)!r} does not.", pointer)
    _require_text(key, f"the field name {_shown(key)!r}", pointer)
    return key


def _require_text(text: str, what: str, at: str) -> None:
    """Refuse what neither JSON in PostgreSQL nor UTF-8 can hold."""
    if "\x00" in text:
        raise InvalidFilter(f"{what} holds the character U+0000, which no stored text has.", at)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidFilter(
            f"{what} holds half a surrogate pair at character {error.start}; send whole characters.", at
        ) from None


def _shown(key: object) -> str:
    """The beginning of a name from outside, fit for a message."""
    return str(key)[:60].encode("utf-8", "backslashreplace").decode()


def _escaped(name: str) -> str:
    """A name as a part of a JSON pointer (RFC 6901, section 3)."""
    return name.replace("~", "~0").replace("/", "~1")
