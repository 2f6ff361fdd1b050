"""Duplicates: which documents say the same."""

import unicodedata
from hashlib import sha256
from uuid import UUID

import msgspec

from app.domain.document import ParsedDocument


def text_key(document: ParsedDocument) -> UUID:
    """Of the text, apart from white space, case and compatibility forms, and of the metadata that filters see.

    Documents of one key are duplicates (docs/decisions/0017).
    """
    text = " ".join(unicodedata.normalize("NFKC", document.text).casefold().split())
    metadata = msgspec.json.encode(document.metadata, order="deterministic")
    return UUID(bytes=sha256(text.encode("utf-8", "surrogatepass") + b"\0" + metadata).digest()[:16])
