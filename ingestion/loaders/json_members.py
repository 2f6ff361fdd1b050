"""JSON members: records of JSON as files of their own, each with the text, the title and the metadata that it has."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from app.domain.errors import DamagedFile
from ingestion.loaders.characters import decode
from ingestion.loaders.json_fields import JsonFields, Pointer, pointer
from ingestion.loaders.json_records import are_lines, as_lines, decoded, is_texts, numbered_lines
from ingestion.loaders.member import Member
from ingestion.storable import storable, storable_text

_MOST_NAMES = 20  # of fields, told where one was not found


def members(name: str, data: bytes, fields: JsonFields) -> tuple[Sequence[Member], Sequence[str]]:
    """The records that have a text, and notes of what was not found.

    Raises DamagedFile for what is no JSON, where no record has a text, and for a key that is missing or another's.
    """
    text = decode(data)
    lines = are_lines(name, text)
    records = numbered_lines(text) if lines else enumerate(_listed(decoded(text, "The file"), fields), 1)
    found, unmet, named = dict[str, Member](), {one.written: one for one in fields.all}, fields.named
    read, has = 0, dict[str, None]()
    for number, record in records:
        read += 1
        has |= dict.fromkeys(record) if isinstance(record, dict) else {}
        unmet = {written: one for written, one in unmet.items() if not one.meets(record)}
        said = "\n\n".join(filter(str.strip, (_text(pointer(one).of(record)) for one in fields.text)))
        if not said:
            continue
        key = _key(number, record, fields)
        if key in found:
            raise DamagedFile(f"Two records have the key {key}; name fields that tell them apart as the key.")
        called = f"{key if fields.key else f'{PurePath(name).stem} {number}'}{fields.suffix}"
        data, title, metadata = said.encode("utf-8", "replace"), _title(record, fields), _metadata(record, named)
        found[key] = Member(key, data, called, title, metadata, fields.media_type)
    there = ", ".join(list(has)[:_MOST_NAMES]) or "none"
    if not read:
        return [], ["There are no records."]
    if not found:
        where = " or ".join(f"`{one}`" for one in fields.text)
        raise DamagedFile(
            f"No record has a text at {where}; the fields are: {there}. Correct the pointer, or leave the file out."
        )
    notes = [f"No record has anything at `{written}`; the fields are: {there}." for written in unmet]
    if len(found) < read:
        notes.append(f"{read - len(found):,} of {read:,} records have no text and were left out.")
    return list(found.values()), notes


def _listed(value: Any, fields: JsonFields) -> Iterable[Any]:
    """The records of a document. Raises DamagedFile where the pointer to them leads to no list."""
    if fields.records is None:
        return value if isinstance(value, list) else [value]
    records = pointer(fields.records).of(value)
    if not isinstance(records, list):
        has = ", ".join(list(value)[:_MOST_NAMES]) if isinstance(value, dict) else "none"
        raise DamagedFile(
            f"There is no list of records at `{fields.records}`; the file has the fields: {has or 'none'}. Correct the "
            "pointer, or leave the file out."
        )
    return records


def _key(number: int, record: Any, fields: JsonFields) -> str:
    """What tells a record from the others, as a part of a URI."""
    parts = [pointer(one).of(record) for one in fields.key] or [number]
    for written, part in zip(fields.key, parts, strict=False):
        if part in (None, "") or isinstance(part, dict | list):
            raise DamagedFile(f"Record {number} has no key at `{written}`; name a field that every record has.")
    return "/".join(quote(_text(part), safe="") for part in parts)


def _title(record: Any, fields: JsonFields) -> str | None:
    value = None if fields.title is None else pointer(fields.title).of(record)
    return None if value is None else storable_text(" ".join(_text(value).split())) or None


def _metadata(record: Any, named: Mapping[str, Pointer]) -> dict[str, object]:
    found = {name: place.of(record) for name, place in named.items()}
    return {storable_text(name): storable(value) for name, value in found.items() if value is not None}


def _text(value: Any) -> str:
    """A text as it is, several as paragraphs, other data as the lines of a form."""
    if is_texts(value):
        return "\n\n".join(value)
    return "" if value is None else as_lines(value)
