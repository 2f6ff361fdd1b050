"""Storable: what PostgreSQL cannot hold is taken out, wherever it stands, and no character of a text moves."""

import msgspec

from app.domain.document import Heading, ParsedDocument
from ingestion.storable import storable, storable_document


def test_metadata_is_cleaned_at_every_depth() -> None:
    given = {"a\0": ["x\0y", {"b": "\ud800z"}, ("\0",)], "n": 10**30, "m": -(10**30), "t": True, "f": 1.5, "o": None}
    cleaned = storable(given)
    assert cleaned == {
        "a": ["xy", {"b": "z"}, [""]],
        "n": str(10**30),
        "m": str(-(10**30)),
        "t": True,
        "f": 1.5,
        "o": None,
    }
    assert msgspec.json.decode(msgspec.json.encode(cleaned)) == cleaned


def test_headings_keep_their_places() -> None:
    document = ParsedDocument("a\0b\n\n# C\ud800\n", "\0", "text/plain", (Heading(1, "C\ud800", 5),), (), {"k\0": "v"})
    cleaned = storable_document(document)
    assert (cleaned.text, cleaned.title, cleaned.metadata) == ("a\ufffdb\n\n# C\ufffd\n", "Untitled", {"k": "v"})
    assert cleaned.text[cleaned.headings[0].char_start :].startswith("# C\ufffd")
