"""JSON: records and nested data as text that reads like a form."""

import io
import json
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any, TypeGuard

import msgspec

from app.domain.document import ParsedDocument
from app.domain.errors import DamagedFile
from ingestion.loaders.characters import decode
from ingestion.loaders.pieces import Pieces
from ingestion.loaders.reader import StructureReader

_TEXTS = ("text", "content", "body", "page_content", "description", "abstract")
_TITLES = ("title", "name", "subject", "heading")


class JsonReader(StructureReader):
    """Reads JSON, and JSON Lines: a record a line."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """Each record with its title as a heading, its text, and its other fields as `name: value`."""
        text = decode(data)
        lines = are_lines(name, text)
        pieces = Pieces()
        if lines:
            for _, record in numbered_lines(text):
                _write(record, pieces)
        else:
            value = decoded(text, "The file")
            for record in value if isinstance(value, list) else [value]:
                _write(record, pieces)
        return pieces.document(name, "application/jsonl" if lines else "application/json", PurePath(name).stem)


def are_lines(name: str, text: str) -> bool:
    """Whether a file has a record a line: by its name, or as many a program exports them under the name `.json`."""
    if PurePath(name).suffix.lower() in {".jsonl", ".ndjson"}:
        return True
    first, _, more = text.removeprefix("\ufeff").lstrip().partition("\n")
    if not (first.startswith("{") and first.rstrip().endswith("}") and more.strip()):
        return False
    try:
        decoded(first, "")
    except DamagedFile:
        return False
    return True


def numbered_lines(text: str) -> Iterator[tuple[int, Any]]:
    """The records of JSON Lines with the numbers of their lines, from 1 on. Raises DamagedFile."""
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        if line.strip():
            yield number, decoded(line, f"Line {number}")


def decoded(text: str, where: str) -> Any:
    """The value that is written; NaN and infinities, which some programs write, as none. DamagedFile says `where`."""
    text = text.removeprefix("\ufeff")
    try:
        return msgspec.json.decode(text)
    except msgspec.MsgspecError:
        try:
            return json.loads(text, parse_constant=lambda _: None)
        except ValueError as error:
            raise DamagedFile(f"{where} is not JSON ({error}); correct it and ingest it again.") from error


def is_texts(value: Any) -> TypeGuard[list[str]]:
    """Whether it is a list of nothing but texts."""
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def as_lines(value: Any) -> str:
    """Data as the lines of a form, nested ones indented."""
    return "\n".join(_lines(value, 0))


def _write(record: Any, pieces: Pieces) -> None:
    if not isinstance(record, dict):
        pieces.block(as_lines(record))
        return
    left = dict(record)
    title = _taken(left, _TITLES)
    pieces.heading(2, title)
    pieces.block(_taken(left, _TEXTS))
    pieces.block(as_lines(left))


def _taken(record: dict[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        if isinstance(record.get(name), str) and record[name].strip():
            return str(record.pop(name))
    return ""


def _lines(value: Any, depth: int) -> Iterator[str]:
    """Nested data, indented."""
    space = "  " * depth
    if isinstance(value, dict):
        for name, inner in value.items():
            if isinstance(inner, dict | list) and inner:
                yield f"{space}{name}:"
                yield from _lines(inner, depth + 1)
            elif inner not in (None, "", [], {}):
                yield f"{space}{name}: {_scalar(inner)}"
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, dict | list):
                yield from (
                    f"{space}- {line.strip()}" if at == 0 else f"  {line}"
                    for at, line in enumerate(_lines(inner, depth))
                )
            else:
                yield f"{space}- {_scalar(inner)}"
    else:
        yield f"{space}{_scalar(value)}"


def _scalar(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
