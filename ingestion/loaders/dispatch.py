"""Dispatch: a file's bytes to the loader that reads them."""

import importlib
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any

from app.domain.document import ParsedDocument
from app.domain.errors import DamagedFile, EmptyFile, UnreadableFile, UnsupportedFormat
from ingestion.loaders import json_members
from ingestion.loaders.formats import JSON, SUFFIXES, Format, detect
from ingestion.loaders.json_fields import JsonFields
from ingestion.loaders.member import Member
from ingestion.loaders.reader import StructureReader
from ingestion.loaders.tables import with_headers


def supported(path: Path) -> bool:
    """Whether a file found in a folder is taken; a file that is named explicitly goes by its content instead."""
    return path.suffix.lower() in SUFFIXES


def load(path: Path, data: bytes, *, reader: StructureReader | None = None) -> ParsedDocument:
    """The document in `data`, the bytes of `path`; `reader` (see `PluggedReader`) overrides the choice by content.

    Raises EmptyFile, EncryptedFile, DamagedFile, FileTooLarge, UnsupportedFormat; nothing else escapes.
    """
    if not data.strip():
        raise EmptyFile
    kind = "file"
    try:
        if reader is None:
            format_ = detect(path, data)
            kind, reader = format_.name, _reader(format_)
        document = with_headers(reader.parse(path.name, data))
    except (UnreadableFile, ImportError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DamagedFile(f"The {kind} cannot be read ({reason}); get a whole copy and ingest it again.") from error
    if not document.text.strip():
        raise EmptyFile
    return document


def is_archive(path: Path, data: bytes) -> bool:
    """Whether a file has nothing but other files in it."""
    try:
        return bool(data.strip()) and detect(path, data).reader is None
    except UnreadableFile:
        return False


def members(path: Path, data: bytes) -> Sequence[Member]:
    """The files in `data` that are worth a document of their own: those in an archive, the attachments of a mail.

    Left out are hidden ones and those of no supported kind. Raises DamagedFile, EncryptedFile, FileTooLarge.
    """
    format_ = detect(path, data)
    if format_.members is None:
        return []
    try:
        found: Sequence[Member] = _named(format_.members)(data)
    except UnreadableFile:
        raise
    except Exception as error:
        raise DamagedFile(f"The files in the {format_.name} cannot be read ({error}); get a whole copy.") from error
    named = [Member(_safe(one.name), one.data) for one in found]
    return _told_apart([one for one in named if one.name and one.data.strip()])


def records(path: Path, data: bytes, fields: JsonFields) -> tuple[Sequence[Member], Sequence[str]] | None:
    """The records of JSON as files of their own, and notes of what was not found; None when the file is none.

    Raises DamagedFile, UnsupportedFormat.
    """
    if not data.strip() or detect(path, data) is not JSON:
        return None
    try:
        return json_members.members(path.name, data, fields)
    except UnreadableFile:
        raise
    except Exception as error:
        raise DamagedFile(f"The JSON file cannot be read ({error}); get a whole copy and ingest it again.") from error


def _told_apart(found: Sequence[Member]) -> Sequence[Member]:
    """The files under names of their own: the second `report.txt` is `report (2).txt`."""
    counts, taken = Counter[str](), {one.name for one in found}
    apart = list[Member]()
    for one in found:
        counts[one.name] += 1
        name, path = one.name, PurePosixPath(one.name)
        if counts[one.name] > 1:
            numbered = (
                str(path.with_name(f"{path.stem} ({number}){path.suffix}")) for number in count(counts[one.name])
            )
            name = next(name for name in numbered if name not in taken)
            taken.add(name)
        apart.append(Member(name, one.data))
    return apart


def _safe(name: str) -> str:
    """A name without ways up; empty for what is not wanted."""
    parts = [part for part in name.replace("\\", "/").split("/") if part.strip(". ")]
    wanted = parts and supported(Path(parts[-1])) and not any(part.startswith((".", "__MACOSX")) for part in parts)
    return "/".join(parts) if wanted else ""


def _reader(format_: Format) -> StructureReader:
    if format_.reader is None:
        raise UnsupportedFormat(f"A {format_.name} file has no text of its own; see `members`.")
    reader: StructureReader = _named(format_.reader)()
    return reader


def _named(where: str) -> Callable[..., Any]:
    module, _, name = where.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found
