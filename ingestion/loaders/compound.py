"""Compound: what the formats of Office 97 to 2003 share: streams in one file ([MS-CFB]), and who wrote it when."""

import codecs
import io
import struct
from typing import Any

from olefile import OleFileIO

from app.domain.errors import DamagedFile


def opened(data: bytes) -> OleFileIO:
    """The file with its streams; a context manager."""
    return OleFileIO(io.BytesIO(data))


def stream(file: OleFileIO, name: str) -> bytes:
    """A stream's bytes. Raises DamagedFile when there is none of the name."""
    if not file.exists(name):
        raise DamagedFile(f"The file lacks its part “{name}”; get a whole copy and ingest it again.")
    with file.openstream(name) as part:
        return bytes(part.read())


def number_at(data: bytes, at: int, kind: str = "I") -> int:
    """A little-endian number of the kind that `struct` calls so. Raises struct.error where the data end before."""
    return int(struct.unpack_from(f"<{kind}", data, at)[0])


def properties(file: OleFileIO) -> dict[str, str]:
    """`title`, `author` and the `date` of the last change, as far as the file declares them."""
    about = file.get_metadata()
    codec = _codec(about.codepage)
    found = {
        "title": _text(about.title, codec),
        "author": _text(about.author, codec),
        "date": about.last_saved_time.date().isoformat() if _is_day(about.last_saved_time) else "",
    }
    return {field: value for field, value in found.items() if value}


def _codec(codepage: int | None) -> str:
    name = f"cp{(codepage or 1252) & 0xFFFF}"
    try:
        return codecs.lookup(name).name
    except LookupError:
        return "latin-1"


def _text(value: bytes | str | None, codec: str) -> str:
    text = value.decode(codec, errors="replace") if isinstance(value, bytes) else value or ""
    return " ".join(text.partition("\0")[0].split())


def _is_day(time: Any) -> bool:
    """Whether it is one: an unknown time is stored as the start of 1601."""
    return time is not None and time.year > 1970
