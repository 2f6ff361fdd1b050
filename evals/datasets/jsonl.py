"""JSON lines: records with ids, one a line, faults named by file and line."""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from app.domain.errors import InvalidInput

Record = dict[str, Any]


def read_records(path: Path) -> Iterator[tuple[int, str, Record]]:
    """Line number, `_id` and the object of each line; ids are strings and not repeated. Raises InvalidInput."""
    seen: set[str] = set()
    for number, line in read_lines(path):
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise InvalidInput(f"{path}:{number}: not JSON ({error.msg}, column {error.colno}).") from error
        id_ = record.get("_id") if isinstance(record, dict) else None
        if not isinstance(id_, str) or not id_:
            raise InvalidInput(f'{path}:{number}: an object with a string "_id" belongs here.')
        if id_ in seen:
            raise InvalidInput(f"{path}:{number}: the _id {id_} is there twice.")
        seen.add(id_)
        yield number, id_, record
    if not seen:
        raise InvalidInput(f"{path}: the file is empty.")


def fingerprint_of(value: object) -> str:
    """The hash of a value's JSON."""
    return sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines with their numbers from 1, empty ones left out. Raises InvalidInput."""
    if not path.is_file():
        raise InvalidInput(f"{path}: there is no such file.")
    with path.open(encoding="utf-8-sig") as file:  # editors on Windows mark UTF-8
        try:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{path}: not UTF-8 ({error.reason}).") from error
