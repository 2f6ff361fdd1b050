"""Document: a source file and its parsed versions, cut into chunks."""

from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from urllib.parse import unquote
from uuid import UUID

MEMBER = "!/"
"""In URIs, between that of a file and the name of what is in it."""
JSON_TYPES = ("application/json", "application/jsonl")
"""The media types of documents that are whole JSON files."""
MOST_NAME_CHARS = 100
"""Of a collection's name."""


def public_name(uri: str) -> str:
    """What anyone may know of where a document is: the address of a web page, the name alone of anything else."""
    if uri.startswith(("http://", "https://")):
        return uri
    place, member, inner = uri.partition(MEMBER)
    return unquote(place.rpartition("/")[2]) + member + inner


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a parsed document as written to the index: `text == document.text[char_start:char_end]`.

    Offsets are code points; `token_count` counts cl100k_base tokens; `page` is 1-based where the format has pages;
    `space_after` is the white space up to the next chunk. `context` is a line that situates the chunk in its document,
    embedded and never shown; None: none was written, empty: the language model had none to give.
    """

    ordinal: int
    heading_path: tuple[str, ...]
    char_start: int
    char_end: int
    page: int | None
    token_count: int
    text: str
    space_after: str = ""
    context: str | None = None

    @property
    def embedding_text(self) -> str:
        """What is embedded: the context if there is one, the heading path, then the text."""
        text = " › ".join(self.heading_path) + "\n" + self.text if self.heading_path else self.text
        return self.context + "\n" + text if self.context else text

    @property
    def text_hash(self) -> UUID:
        """Of what is embedded: chunks of one hash have one vector (half of its SHA-256)."""
        return UUID(bytes=sha256(self.embedding_text.encode()).digest()[:16])


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading in a parsed text: its level (1 is the highest), title, and where its own line starts (code points)."""

    level: int
    title: str
    char_start: int


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """What a loader makes of a file: text with structure.

    `headings` in reading order; `page_starts[i]` is the offset at which page i + 1 begins (empty: no pages);
    `media_type` the type found by content.
    """

    text: str
    title: str
    media_type: str
    headings: tuple[Heading, ...] = ()
    page_starts: tuple[int, ...] = ()
    metadata: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DocumentSummary:
    """A document as listed; `content_hash` is its source's SHA-256 in hexadecimal digits, which changes with it."""

    id: UUID
    collection: str
    uri: str
    title: str
    media_type: str
    chunks: int
    updated_at: datetime
    content_hash: str


@dataclass(frozen=True, slots=True)
class DocumentText:
    """One version of a document with its text; `current` tells whether it is the one retrieved today."""

    id: UUID
    version_id: UUID
    collection: str
    uri: str
    title: str
    media_type: str
    text: str
    current: bool
    valid_from: datetime


@dataclass(frozen=True, slots=True)
class CollectionSummary:
    """A collection with its number of documents."""

    name: str
    documents: int
