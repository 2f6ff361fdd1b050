"""Parsing: a file's bytes in, chunks and what the store wants to know of the document out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from app.domain.document import Chunk, ParsedDocument
from app.providers.tokenizer import count_tokens
from ingestion.chunking.structure import chunk
from ingestion.duplicates import text_key
from ingestion.language import config_of
from ingestion.loaders.dispatch import is_archive, records
from ingestion.loaders.member import Member
from ingestion.sandbox import Sandbox
from ingestion.sources.source import Content
from ingestion.storable import storable_document


@dataclass(frozen=True, slots=True)
class Cutting:
    """How documents are made into chunks: tokens of each at most, and the setting of the text search configuration."""

    chunk_tokens: int
    text_search_config: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document in chunks, its text search configuration, and the key that its duplicates have too."""

    document: ParsedDocument
    chunks: Sequence[Chunk]
    text_search_config: str
    text_key: UUID


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a file: its document, which an archive has not, the files in it, and notes of what was not found."""

    parsed: Parsed | None
    members: Sequence[Member] = ()
    notes: Sequence[str] = ()


def parse(content: Content, cutting: Cutting, sandbox: Sandbox) -> Contents:
    """Read a file. Blocks. Raises UnreadableFile."""
    path = Path(content.name)
    if content.json_fields is not None and (found := records(path, content.data, content.json_fields)) is not None:
        return Contents(None, *found)
    members = sandbox.members(path, content.data) if content.data.strip() else ()
    if is_archive(path, content.data):
        return Contents(None, members)
    return Contents(_document(content, cutting, sandbox), members)


def _document(content: Content, cutting: Cutting, sandbox: Sandbox) -> Parsed:
    found = sandbox.load(Path(content.name), content.data)
    told = replace(found, title=content.title or found.title, metadata={**found.metadata, **content.metadata})
    document = storable_document(told)
    return Parsed(
        document,
        chunk(document, max_tokens=cutting.chunk_tokens, count_tokens=count_tokens),
        config_of(document, cutting.text_search_config, content.metadata),
        text_key(document),
    )
