"""Filter: which chunks a search may return, as conditions on their metadata.

`matches` is the definition of what a filter means; `app.storage.filters` says the same in SQL. The logic is two-valued:
a comparison is true or false, false when the field is missing or of another type, and Not is plain negation. JSON types
are distinct (true is not 1), numbers compare by their decimal value (1 equals 1.0), strings by code point. A field that
holds a list satisfies a comparison when one of its elements does; nested lists and objects satisfy none.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias

MAX_DEPTH = 8  # of $and, $or and $not in one another
MAX_CONDITIONS = 100
MAX_VALUES = 1000  # of one list
MAX_NAME_CHARS = 200
MAX_STRING_CHARS = 2000

Scalar: TypeAlias = str | int | float | bool | None
Kind: TypeAlias = Literal["string", "number", "boolean", "null", "object", "array"]
"""A JSON type. A field whose list holds strings is of kind `string`; `array` is a list within a list."""


@dataclass(frozen=True, slots=True)
class Field:
    """A metadata field by its name; `pointer` is where a request names it (RFC 6901)."""

    name: str
    pointer: str = dataclasses.field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Equals:
    """The field holds `value`; null is a value, a missing field holds none."""

    field: Field
    value: Scalar
    pointer: str = dataclasses.field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class In:
    """The field holds one of `values`."""

    field: Field
    values: tuple[Scalar, ...]
    pointer: str = dataclasses.field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Range:
    """The field holds a value within every bound given; the bounds are all numbers or all strings."""

    field: Field
    gt: str | int | float | None = None
    gte: str | int | float | None = None
    lt: str | int | float | None = None
    lte: str | int | float | None = None

    @property
    def bounds(self) -> dict[str, str | int | float]:
        """The bounds that are given, by name, in a fixed order."""
        bounds = {"gt": self.gt, "gte": self.gte, "lt": self.lt, "lte": self.lte}
        return {name: bound for name, bound in bounds.items() if bound is not None}


@dataclass(frozen=True, slots=True)
class Exists:
    """The field is there, whatever it holds: null and the empty list too."""

    field: Field


@dataclass(frozen=True, slots=True)
class All:
    """Every part matches."""

    parts: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Any:
    """At least one part matches."""

    parts: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not match."""

    part: "Filter"


Condition: TypeAlias = Equals | In | Range | Exists
Filter: TypeAlias = Condition | All | Any | Not


def conditions(wanted: Filter) -> Iterator[Condition]:
    """Every condition of a filter, in the order in which it is written."""
    match wanted:
        case All(parts) | Any(parts):
            for part in parts:
                yield from conditions(part)
        case Not(part):
            yield from conditions(part)
        case _:
            yield wanted


def kind_of(value: object) -> Kind:
    """The JSON type of a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list() | tuple():
            return "array"
        case _:
            return "object"


def matches(wanted: Filter, metadata: Mapping[str, object]) -> bool:
    """Whether a chunk with this metadata satisfies the filter."""
    match wanted:
        case All(parts):
            return all(matches(part, metadata) for part in parts)
        case Any(parts):
            return any(matches(part, metadata) for part in parts)
        case Not(part):
            return not matches(part, metadata)
        case Exists(of):
            return of.name in metadata
        case Equals(of, value):
            return _comparable(value) in _held(of, metadata)
        case In(of, values):
            return not _held(of, metadata).isdisjoint(map(_comparable, values))
        case Range(of):
            return any(_within(wanted, held) for held in _held(of, metadata))


_Comparable: TypeAlias = tuple[Kind, str | Decimal | bool | None]


def _held(of: Field, metadata: Mapping[str, object]) -> set[_Comparable]:
    """What a field can be compared by: its value or its elements; nothing when it is missing."""
    if of.name not in metadata:
        return set()
    value = metadata[of.name]
    elements = value if isinstance(value, list | tuple) else [value]
    return {_comparable(element) for element in elements if isinstance(element, str | int | float | None)}


def _comparable(value: Scalar) -> _Comparable:
    """Equal for values that are equal as JSON; a float stands for the decimal that it is written as."""
    match value:
        case None | bool() | str():
            return kind_of(value), value
        case int():
            return "number", Decimal(value)
    return "number", Decimal(repr(value))


def _within(wanted: Range, held: _Comparable) -> bool:
    kind, value = held
    for name, bound in wanted.bounds.items():
        bound_kind, limit = _comparable(bound)
        if kind != bound_kind:
            return False
        below, equal = value < limit, value == limit  # type: ignore[operator]
        if not {"gt": not below and not equal, "gte": not below, "lt": below, "lte": below or equal}[name]:
            return False
    return True
