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
        except (ValueError, RecursionError) as error:  # a number or a nesting beyond Python's limits
            raise InvalidInput(f"{path}:{number}: JSON that cannot be read ({error}).") from error
        if "\\u" in line and not _is_text(json.dumps(record, ensure_ascii=False)):
            raise InvalidInput(f"{path}:{number}: half of a surrogate pair (\\ud800 to \\udfff) is no character.")
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
    try:
        # editors on Windows mark UTF-8; what is not UTF-8 becomes surrogates, so that its line can be named
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
            for number, line in enumerate(file, start=1):
                if not _is_text(line):
                    raise InvalidInput(f"{path}:{number}: not UTF-8.")
                if line.strip():
                    yield number, line
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read ({error.strerror}).") from error


def _is_text(string: str) -> bool:
    """Whether it is without halves of surrogate pairs, which nothing can write."""
    try:
        string.encode()
    except UnicodeEncodeError:
        return False
    return True
