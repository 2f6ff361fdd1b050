"""Filter, fields: which fields there are to filter by, and which types they hold."""

from collections.abc import Mapping
from difflib import get_close_matches

from app.domain.errors import InvalidFilter
from app.domain.filter import MAX_NAME_CHARS, Condition, Equals, Filter, In, Kind, Range, Scalar, conditions, kind_of

BUILT_IN: dict[str, frozenset[Kind]] = {
    "collection_id": frozenset({"string"}),
    "document_id": frozenset({"string"}),
    "source_uri": frozenset({"string"}),
    "title": frozenset({"string"}),
    "media_type": frozenset({"string"}),
    "page": frozenset({"number"}),
    "language": frozenset({"string"}),
}
"""The fields that every chunk can have, whatever its document's metadata says."""

_SHOWN = 20
_PLURALS: dict[Kind, str] = {
    "string": "strings",
    "number": "numbers",
    "boolean": "true or false",
    "null": "null",
    "object": "objects",
    "array": "nested lists",
}


def filterable(
    metadata: Mapping[str, object],
    *,
    collection_id: str,
    document_id: str,
    source_uri: str,
    title: str,
    media_type: str,
    page: int | None = None,
    language: str | None = None,
) -> dict[str, object]:
    """What filters see of a chunk: its document's metadata, and the built-in fields that have a value, which win."""
    built_in = {
        "collection_id": collection_id,
        "document_id": document_id,
        "source_uri": source_uri,
        "title": title,
        "media_type": media_type,
        "page": page,
        "language": language,
    }
    return {**metadata, **{name: value for name, value in built_in.items() if value is not None}}


def kinds_of(metadata: Mapping[str, object]) -> dict[str, frozenset[Kind]]:
    """The fields of a document's metadata that a filter can name, and what they hold: a list counts by its elements."""
    return {
        name: frozenset(map(kind_of, value if isinstance(value, list | tuple) else [value]))
        for name, value in metadata.items()
        if 0 < len(name) <= MAX_NAME_CHARS and not name.startswith("$")
    }


def check_filter(wanted: Filter, fields: Mapping[str, frozenset[str]]) -> None:
    """Refuse fields that no document has, and values of a type that the field never holds.

    `fields` are those of the documents, the built-in ones apart. Raises InvalidFilter.
    """
    for condition in conditions(wanted):
        name = condition.field.name
        if name not in fields and name not in BUILT_IN:
            raise InvalidFilter(_unknown(name, {*fields, *BUILT_IN}), condition.field.pointer)
        held = fields.get(name, frozenset[str]()) | BUILT_IN.get(name, frozenset[Kind]())
        for pointer, value in _operands(condition):
            if kind_of(value) not in held:
                raise InvalidFilter(_mismatch(name, kind_of(value), held), pointer)


def check_visitors_filter(wanted: Filter) -> None:
    """Refuse what would tell visitors, one comparison at a time, the folders of the server. Raises InvalidFilter."""
    for condition in conditions(wanted):
        if condition.field.name == "source_uri":
            raise InvalidFilter("visitors cannot filter by 'source_uri'.", condition.field.pointer)


def _operands(condition: Condition) -> list[tuple[str, Scalar]]:
    """The values of a condition, each with where it stands."""
    match condition:
        case Equals(_, value, pointer):
            return [(pointer, value)]
        case In(_, values, pointer):
            return [(f"{pointer}/{number}", value) for number, value in enumerate(values)]
        case Range(field):
            return [(f"{field.pointer}/${name}", bound) for name, bound in condition.bounds.items()]
        case _:
            return []


def _unknown(name: str, known: set[str]) -> str:
    near = get_close_matches(name, known, n=1)
    guess = f"; did you mean {near[0]!r}?" if near else "."
    shown = sorted(known)[:_SHOWN]
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f"no document has a field {name!r}{guess} Known fields: {', '.join(shown)}{more}."


def _mismatch(name: str, kind: Kind, held: frozenset[str]) -> str:
    comparable = [plural for known, plural in _PLURALS.items() if known in held]
    holds = f"it holds {' and '.join(comparable)}" if comparable else "it holds nothing but empty lists"
    hint = '; {"$exists": false} finds what lacks the field' if kind == "null" else ""
    return f"the field {name!r} never holds {_PLURALS[kind]}; {holds}{hint}."
