"""Source: a place that documents come from, and one document as found there."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from app.domain.errors import FileTooLarge, UnreadableFile
from ingestion.loaders.json_fields import JsonFields


class Vanished(UnreadableFile):
    """The document is no longer there."""

    code = "vanished"


def refuse_larger(size: int, max_bytes: int) -> None:
    """Raise FileTooLarge when so many bytes are more than may be taken."""
    if size > max_bytes:
        raise FileTooLarge(
            f"{size:,} bytes are more than the limit of {max_bytes:,}; raise FOOTNOTE_MAX_FILE_BYTES to take it"
        )


@dataclass(frozen=True, slots=True)
class Content:
    """A document's bytes as its source gives them.

    `name` is a file name: its suffix helps to tell the format, and it is the title of last resort. `title` and
    `metadata`, where the source knows them, go before what is in the bytes. A `stamp` is what the source can be asked
    by whether the document changed (a size and a time, an ETag); None when only the bytes tell. With `json_fields` each
    record of JSON becomes a document. `media_type` is what the text of a record is declared to be; None for files.
    """

    name: str
    data: bytes
    stamp: str | None = None
    title: str | None = None
    metadata: dict[str, object] = field(default_factory=dict)
    json_fields: JsonFields | None = None
    media_type: str | None = None


class Item(Protocol):
    """A document as found in a source."""

    @property
    def uri(self) -> str:
        """The document's identity within its collection."""
        ...

    def read(self, *, max_bytes: int, known: str | None = None) -> Content | None:
        """The bytes; None when the source says that nothing changed since the stamp `known`. Blocks.

        Raises FileTooLarge, Vanished, UnreadableFile.
        """
        ...


class Source(Protocol):
    """A place that documents come from."""

    def items(self) -> Sequence[Item]:
        """Every document that is there now, in a stable order. Blocks.

        Raises SourceUnavailable rather than leave out what could not be listed: what is left out counts as deleted.
        """
        ...

    def close(self) -> None:
        """Release what the source holds; items cannot be read afterwards."""
        ...
