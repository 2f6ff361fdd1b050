"""Storable: what sources and loaders say of a document, as PostgreSQL can hold it."""

import re
from dataclasses import replace

from app.domain.document import ParsedDocument

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # NUL, and halves of characters
_LARGEST = 2**63


def storable_text(text: str) -> str:
    """The text without NUL and without halves of characters."""
    return _UNSTORABLE.sub("", text)


def storable(value: object) -> object:
    """A value of metadata with `storable_text` in it; a number too large for JSON is written out."""
    match value:
        case str():
            return storable_text(value)
        case dict():
            return {storable_text(str(name)): storable(one) for name, one in value.items()}
        case list() | tuple():
            return [storable(one) for one in value]
        case int() if not -_LARGEST <= value < _LARGEST:
            return str(value)
        case _:
            return value


def storable_document(document: ParsedDocument) -> ParsedDocument:
    """The document with a storable title, metadata and text; no character of the text moves."""
    return replace(
        document,
        text=_in_place(document.text),
        title=storable_text(document.title).strip() or "Untitled",
        headings=tuple(replace(heading, title=_in_place(heading.title)) for heading in document.headings),
        metadata={storable_text(name): storable(value) for name, value in document.metadata.items()},
    )


def _in_place(text: str) -> str:
    return _UNSTORABLE.sub("\ufffd", text)
