"""Rechunking: cuts stored texts anew, without their sources."""

import re
from collections.abc import Iterator, Sequence

from app.domain.document import Chunk, Heading, ParsedDocument
from app.domain.errors import ConfigurationError
from app.domain.index import chunker_id
from app.providers.tokenizer import count_tokens
from app.storage.building import StoredVersion
from ingestion.chunking.structure import chunk

_CHUNKER = re.compile(r"structure-v2/(\d{1,4})")
_TOKENS = (32, 2000)  # as FOOTNOTE_CHUNK_TOKENS


def tokens_of(chunker: str) -> int:
    """The chunk size in a chunker's identity. Raises ConfigurationError when it is not one that this version has."""
    known = _CHUNKER.fullmatch(chunker)
    if known is None or not _TOKENS[0] <= int(known[1]) <= _TOKENS[1]:
        raise ConfigurationError(
            f"There is no chunker {chunker!r}; it takes {chunker_id(_TOKENS[0])} to {chunker_id(_TOKENS[1])}."
        )
    return int(known[1])


def rechunk(version: StoredVersion, present: Sequence[Chunk], chunker: str) -> list[Chunk]:
    """Cut a stored version with a chunker.

    `present` are the chunks that another chunker made of it: where the structure was not kept (versions stored by
    Footnote before 0.2), headings and pages are taken from them, which is exact to a chunk.
    """
    document = version.parsed() or ParsedDocument(
        text=version.text,
        title=version.title,
        media_type=version.media_type,
        headings=tuple(_headings(present)),
        page_starts=tuple(_page_starts(present)),
    )
    return chunk(document, max_tokens=tokens_of(chunker), count_tokens=count_tokens)


def _headings(chunks: Sequence[Chunk]) -> Iterator[Heading]:
    """Headings that give each chunk its path again: what is new in a path, or its last one when others only ended."""
    before: tuple[str, ...] = ()
    for one in chunks:
        path = one.heading_path
        if path != before and path:
            common = next((i for i, (a, b) in enumerate(zip(before, path, strict=False)) if a != b), len(before))
            for level in range(min(common, len(path) - 1), len(path)):
                yield Heading(level + 1, path[level], one.char_start)
            before = path


def _page_starts(chunks: Sequence[Chunk]) -> Iterator[int]:
    """Where pages start, as far as chunks tell: a page on which none starts begins with the next that does."""
    pages = 0
    for one in chunks:
        while one.page is not None and pages < one.page:
            yield 0 if pages == 0 else one.char_start
            pages += 1
