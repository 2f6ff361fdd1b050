"""Filters: a filter as a SQL expression over a chunk's metadata; it says what `app.domain.filter.matches` says.

The text depends on the filter's shape alone: names and values are bound parameters. The index tables hold every field
as a list, a single value as a list of one.

A GIN index holds a 64-bit key of every (generation, collection, field, value): one look into it finds what has a value
within a collection, and nothing that it brings is looked at again (migration 0017; docs/decisions/0029). Two values may
share a key, so whoever asks the index asks the filter too, of the few rows that are left.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from psycopg import sql
from psycopg.types.json import Jsonb

from app.domain.filter import All, Any, Equals, Exists, Filter, In, Not, Range, Scalar

_SIGNS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_Bind: TypeAlias = Callable[[object], sql.Placeholder]

# What filters see of a chunk (`app.domain.filter_fields.filterable`), of version `v`, chunk `c` and document `o`.
FILTERABLE = sql.SQL("""
    filter_form(v.metadata || c.metadata || jsonb_strip_nulls(jsonb_build_object(
        'collection_id', c.collection_id, 'document_id', o.id, 'source_uri', o.source_uri, 'title', v.title,
        'media_type', v.media_type, 'page', c.page
    )))
""")


def filter_form(metadata: Mapping[str, object]) -> dict[str, object]:
    """Metadata as the index tables hold it; PostgreSQL's function of that name (migration 0005) does the same."""
    return {name: value if isinstance(value, list | tuple) else [value] for name, value in metadata.items()}


@dataclass(frozen=True, slots=True)
class Keyed:
    """What the index of keys knows of a filter.

    Of each of `groups` (fields and values) a chunk that passes has one at least; `whole`: any chunk that has, passes.
    """

    groups: tuple[Mapping[str, tuple[Scalar, ...]], ...] = ()
    whole: bool = False


def keyed(wanted: Filter) -> Keyed:
    """What the index of keys knows of a filter: equality, joined by and or or; of anything else it knows nothing."""
    match wanted:
        case Equals(field, value):
            return Keyed(({field.name: (value,)},), whole=True)
        case In(field, values):
            return Keyed(({field.name: values},), whole=True)
        case All(parts):
            known = [keyed(part) for part in parts]
            return Keyed(tuple(group for one in known for group in one.groups), all(one.whole for one in known))
        case Any(parts):
            known = [keyed(part) for part in parts]
            if not all(one.groups for one in known):
                return Keyed()
            merged = dict[str, tuple[Scalar, ...]]()
            for one in known:
                for name, values in one.groups[0].items():
                    merged[name] = (*merged.get(name, ()), *values)
            return Keyed((merged,), all(one.whole and len(one.groups) == 1 for one in known))
        case _:
            return Keyed()


@dataclass(frozen=True, slots=True)
class Narrowed:
    """What a statement's text says of a filter: never what is asked, only how.

    `condition` on an index table `l`; of `keys` groups, the parameters `key0` and so on, `Keyed` says what `whole` is.
    """

    condition: str
    keys: int
    whole: bool


def narrow(wanted: Filter) -> tuple[Narrowed, dict[str, object]]:
    """A filter as the hot query asks it, and its parameters."""
    condition, parameters = compile_filter(wanted, sql.SQL("l.metadata"))
    known = keyed(wanted)
    parameters |= {f"key{number}": Jsonb(group) for number, group in enumerate(known.groups)}
    return Narrowed(condition.as_string(None), len(known.groups), known.whole), parameters


def compile_filter(wanted: Filter, column: sql.Composable, prefix: str = "f") -> tuple[sql.Composed, dict[str, object]]:
    """The filter as a boolean expression over a jsonb object `column` in filter form, and its parameters.

    These are named `f0`, `f1` and so on. The expression is never NULL as long as the column is not.
    """
    parameters: dict[str, object] = {}

    def bind(value: object) -> sql.Placeholder:
        name = f"{prefix}{len(parameters)}"
        parameters[name] = value
        return sql.Placeholder(name)

    return _expression(wanted, column, bind), parameters


def _expression(wanted: Filter, column: sql.Composable, bind: _Bind) -> sql.Composed:
    match wanted:
        case All(parts):
            return _joined(" AND ", parts, column, bind)
        case Any(parts):
            return _joined(" OR ", parts, column, bind)
        case Not(part):
            return sql.SQL("(NOT {})").format(_expression(part, column, bind))
        case Exists(field):
            return sql.SQL("({} ? {}::text)").format(column, bind(field.name))
        case Equals(field, value):
            return _contains(field.name, (value,), column, bind)
        case In(field, values):
            return _contains(field.name, values, column, bind)
        case Range():
            return _within(wanted, column, bind)


def _joined(word: str, parts: tuple[Filter, ...], column: sql.Composable, bind: _Bind) -> sql.Composed:
    return sql.SQL("({})").format(sql.SQL(word).join([_expression(part, column, bind) for part in parts]))


def _contains(name: str, values: tuple[Scalar, ...], column: sql.Composable, bind: _Bind) -> sql.Composed:
    """The field is one of the values or a list with one of them."""
    if len(values) == 1:
        return sql.SQL("({} @> {}::jsonb)").format(column, bind(Jsonb({name: [values[0]]})))
    return sql.SQL("({} @> ANY ({}::jsonb[]))").format(column, bind([Jsonb({name: [value]}) for value in values]))


# CASE, so that each comparison sees its own type only; strict, so that no list within a list is looked into. A single
# value is compared without a path, which is faster.
_RANGE = """
    (CASE
        WHEN jsonb_array_length({column} -> {name}::text) = 1
        THEN CASE jsonb_typeof({column} -> {name}::text -> 0) WHEN {type} THEN {compared} ELSE false END
        ELSE coalesce(jsonb_path_exists({column} -> {name}::text, {path}, {bounds}::jsonb), false)
    END)
"""
_NUMBER = "({column} -> {name}::text -> 0)::numeric {sign} {bound}::numeric"
_STRING = """({column} -> {name}::text ->> 0) COLLATE "C" {sign} {bound}::text"""


def _within(wanted: Range, column: sql.Composable, bind: _Bind) -> sql.Composed:
    name = bind(wanted.field.name)
    bounds = wanted.bounds
    text = any(isinstance(bound, str) for bound in bounds.values())
    comparisons = [
        sql.SQL(_STRING if text else _NUMBER).format(
            column=column, name=name, sign=sql.SQL(_SIGNS[key]), bound=bind(bound if text else Decimal(str(bound)))
        )
        for key, bound in bounds.items()
    ]
    path = "strict $[*] ? (" + " && ".join(f"@ {_SIGNS[key]} ${key}" for key in bounds) + ")"
    return sql.SQL(_RANGE).format(
        column=column,
        name=name,
        type=sql.Literal("string" if text else "number"),
        compared=sql.SQL(" AND ").join(comparisons),
        path=sql.Literal(path),
        bounds=bind(Jsonb(bounds)),
    )
