"""JSON fields: what records of JSON are made of, told by JSON Pointers (RFC 6901)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import PurePath
from typing import Any

import msgspec

from app.domain.errors import InvalidInput
from ingestion.loaders.formats import ARCHIVE, JSON, SUFFIXES, TEXT_SUFFIXES

_NAMED = re.compile(r"([^/=]+)=(/.*)", re.DOTALL)
_NO_ESCAPE = re.compile("~(?![01])")
_INDEX = re.compile("0|[1-9][0-9]{0,8}")
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Pointer:
    """A place in a record, as it was `written`: the names and positions on the way to it."""

    written: str
    parts: Sequence[str]

    def of(self, value: Any, default: object = None) -> Any:
        """What is there, `default` where nothing is."""
        for part in self.parts:
            if isinstance(value, dict) and part in value:
                value = value[part]
            elif isinstance(value, list) and _INDEX.fullmatch(part) and int(part) < len(value):
                value = value[int(part)]
            else:
                return default
        return value

    def meets(self, value: Any) -> bool:
        """Whether something is there, be it null."""
        return self.of(value, _MISSING) is not _MISSING


@cache
def pointer(written: str) -> Pointer:
    """`/article/body`, or `body` for `/body`; the empty one is the whole value. Raises InvalidInput."""
    if not written.startswith("/"):
        if "/" in written:
            raise InvalidInput(f"`{written}` is no JSON Pointer: write `/{written.lstrip('#').lstrip('/')}`.")
        return Pointer(written, (written,) if written else ())
    if _NO_ESCAPE.search(written):
        raise InvalidInput(f"`{written}` is no JSON Pointer: in a name write `~0` for `~` and `~1` for `/`.")
    return Pointer(written, tuple(part.replace("~1", "/").replace("~0", "~") for part in written[1:].split("/")))


@dataclass(frozen=True, slots=True)
class JsonFields:
    """JSON Pointers to what each record is made of; several of `text` follow each other as paragraphs.

    One of `metadata` is called by its last part, or as `NAME=POINTER` says. `key` tells a record from the others of its
    file, its place does without. `records` leads to the list of records in a JSON document, without it that is the
    document itself. Raises InvalidInput for what is no pointer, and for two metadata of one name.
    """

    text: Sequence[str]
    title: str | None = None
    metadata: Sequence[str] = ()
    key: Sequence[str] = ()
    records: str | None = None
    media_type: str = "text/plain"

    def __post_init__(self) -> None:
        for one in (*self.key, self.records or ""):
            pointer(one)
        self.all  # noqa: B018 - raises

    @property
    def all(self) -> list[Pointer]:
        """Where the text, the title and the metadata are."""
        written = [*self.text, *([] if self.title is None else [self.title])]
        return [*map(pointer, written), *self.named.values()]

    @property
    def named(self) -> dict[str, Pointer]:
        """The pointers of `metadata` by name."""
        found = dict[str, Pointer]()
        for one in self.metadata:
            match = _NAMED.fullmatch(one)
            place = pointer(match[2] if match else one)
            name = match[1] if match else "".join(place.parts[-1:])
            if not name:
                raise InvalidInput(f"The metadata at `{one}` have no name: write `NAME={one or '/…'}`.")
            if name in found:
                raise InvalidInput(f"Two metadata are called `{name}`: write `NAME={one}` for one of them.")
            found[name] = place
        return found

    @property
    def suffix(self) -> str:
        """That of a file with the text of a record."""
        return TEXT_SUFFIXES[self.media_type]

    @property
    def mark(self) -> str:
        """A short text that is another one when they change."""
        return sha256(msgspec.json.encode(self)).hexdigest()[:16]

    def within(self, name: str) -> "JsonFields | None":
        """Themselves for a file whose name says that it is JSON or may hold such files, None for others."""
        return self if SUFFIXES.get(PurePath(name).suffix.lower()) in {JSON, ARCHIVE} else None
