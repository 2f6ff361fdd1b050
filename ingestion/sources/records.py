"""Records: documents that are rows of a database."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import IO
from urllib.parse import quote

import msgspec

from app.domain.errors import SourceUnavailable, UnsupportedFormat
from ingestion.loaders.characters import decode
from ingestion.loaders.formats import TEXT_SUFFIXES
from ingestion.loaders.json_records import as_lines, is_texts
from ingestion.sources.source import Content, refuse_larger
from ingestion.storable import storable, storable_text

_IN_MEMORY = 8_388_608  # bytes of records; more go to a temporary file


@dataclass(frozen=True, slots=True)
class Columns:
    """Which fields of a record are what; several fields of a text follow each other as paragraphs."""

    key: Sequence[str]
    text: Sequence[str]
    title: str | None = None
    metadata: Sequence[str] = ()
    media_type: str = "text/plain"

    @property
    def all(self) -> list[str]:
        """Every field that is used."""
        title = [self.title] if self.title is not None else []
        return list(dict.fromkeys([*self.key, *self.text, *title, *self.metadata]))


@dataclass(frozen=True, slots=True)
class Record:
    """A record, known by the name of its source and its key; what it says is in a spool."""

    uri: str
    spool: "Spool"
    start: int
    length: int

    def read(self, *, max_bytes: int, known: str | None = None) -> Content:
        """The text, as it was when the source was listed. Raises FileTooLarge."""
        content = self.spool.read(self.start, self.length)
        refuse_larger(len(content.data), max_bytes)
        return content


class Spool:
    """Records read once from a database, so that neither its connection nor the memory is held while they are used."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - `close` does

    def add(self, uri: str, content: Content) -> Record:
        """Keep a record."""
        start = self._file.seek(0, 2)
        packed = msgspec.msgpack.encode(content)
        self._file.write(packed)
        return Record(uri, self, start, len(packed))

    def read(self, start: int, length: int) -> Content:
        """A record that was kept."""
        self._file.seek(start)
        return msgspec.msgpack.decode(self._file.read(length), type=Content)

    def close(self) -> None:
        """Forget all."""
        self._file.close()


def records(spool: Spool, source: str, columns: Columns, rows: Iterable[Mapping[str, object]]) -> Iterator[Record]:
    """Keep every row that has a text as a record.

    Raises SourceUnavailable for rows without a key, or with the key of another.
    """
    seen = set[str]()
    for row in rows:
        parts = [row[name] for name in columns.key]
        if any(part is None for part in parts):
            raise SourceUnavailable(f"A row of {source} has no {' and '.join(columns.key)}; nothing was changed.")
        key = "/".join(quote(str(part), safe="") for part in parts)
        if key in seen:
            raise SourceUnavailable(
                f"Two rows of {source} have the key {key}; name columns that tell them apart. Nothing was changed."
            )
        seen.add(key)
        content = _content(columns, key, row)
        if content.data.strip():
            yield spool.add(f"record:{quote(source)}/{key}", content)


def _content(columns: Columns, key: str, row: Mapping[str, object]) -> Content:
    parts = [row[name] for name in columns.text if row.get(name) is not None]
    title = row.get(columns.title) if columns.title is not None else None
    metadata = {name: storable(_plain(row[name])) for name in columns.metadata if row.get(name) is not None}
    name = f"{key}{TEXT_SUFFIXES[columns.media_type]}"
    called = None if title is None else storable_text(" ".join(_text(title).split()))
    return Content(name, _bytes(parts), title=called, metadata=metadata, media_type=columns.media_type)


def _bytes(parts: Sequence[object]) -> bytes:
    """The text of a record; bytes that stand alone stay as they are, for its loader to tell their encoding."""
    if len(parts) == 1 and isinstance(parts[0], bytes):
        return bytes(parts[0])
    return "\n\n".join(_text(part) for part in parts).encode("utf-8", "replace")


def _text(value: object) -> str:
    """A list of texts as paragraphs, other lists and JSON as the lines of a form."""
    if isinstance(value, list | tuple | dict):
        plain = _plain(value)
        return "\n\n".join(plain) if is_texts(plain) else as_lines(plain)
    if not isinstance(value, bytes):
        return str(value)
    try:
        return decode(value)
    except UnsupportedFormat:
        return value.decode("latin-1")  # which the loader refuses as it refuses the bytes


def _plain(value: object) -> object:
    """A value as JSON can hold it, and filters compare it."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Decimal():
            return int(value) if value.is_finite() and value == value.to_integral_value() else float(value)
        case bytes():
            return _text(value)
        case datetime() | date() | time():
            return value.isoformat()
        case list() | tuple():
            return [_plain(one) for one in value]
        case dict():
            return {str(name): _plain(one) for name, one in value.items() if one is not None}
        case _:
            return str(value)
