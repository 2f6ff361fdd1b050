"""Outline: texts whose headings are lines with a mark at their start: AsciiDoc and Org."""

import re
from collections.abc import Callable

from app.domain.document import Heading, ParsedDocument
from ingestion.loaders.characters import clean, decode
from ingestion.loaders.reader import StructureReader
from ingestion.loaders.title import choose_title

_ASCIIDOC_HEADING = re.compile(r"(={1,6}) (\S.*)")
_ASCIIDOC_BLOCK = re.compile(r"(-{4,}|\.{4,}|={4,}|\*{4,}|_{4,}|\+{4,}|/{4,}|`{3,}|\|===)\s*\Z")
_ORG_HEADING = re.compile(r"(\*{1,6}) (?:(?:TODO|DONE) )?(?:\[#[A-Z]\] )?(\S.*?)(?:\s+:[\w@:]+:)?\s*\Z")
_ORG_BLOCK = re.compile(r"\s*#\+(begin|end)_(\w+)", re.IGNORECASE)
_ORG_TITLE = re.compile(r"^#\+title:\s*(\S.*)$", re.IGNORECASE | re.MULTILINE)


class AsciiDocReader(StructureReader):
    """Reads AsciiDoc: the source text as it is, and its section titles."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """The text; `=` to `======` are headings, but not within delimited blocks."""
        text = clean(decode(data))
        headings = _headings(text, _ASCIIDOC_HEADING, _asciidoc_block)
        return ParsedDocument(text, choose_title(text, headings, "", name), "text/asciidoc", headings)


class OrgReader(StructureReader):
    """Reads Org: the source text as it is, and its headlines."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """The text; stars at the start of a line are headings, without keywords and tags, but not within blocks."""
        text = clean(decode(data))
        headings, title = _headings(text, _ORG_HEADING, _org_block), _ORG_TITLE.search(text)
        given = title[1].strip() if title else ""
        return ParsedDocument(text, given or choose_title(text, headings, "", name), "text/org", headings)


def _headings(text: str, heading: re.Pattern[str], block_after: Callable[[str, str], str]) -> tuple[Heading, ...]:
    """The headings outside of blocks; `block_after(line, block)` is the block that a line leads into, or empty."""
    found, block, at = list[Heading](), "", 0
    for line in text.splitlines(keepends=True):
        before, block = block, block_after(line, block)
        if not before and not block and (match := heading.match(line)):
            found.append(Heading(len(match[1]), match[2].strip(), at))
        at += len(line)
    return tuple(found)


def _asciidoc_block(line: str, block: str) -> str:
    mark = _ASCIIDOC_BLOCK.match(line)
    if mark and not block:
        return mark[1]
    return "" if mark and mark[1] == block else block


def _org_block(line: str, block: str) -> str:
    mark = _ORG_BLOCK.match(line)
    begins = mark is not None and mark[1].lower() == "begin"
    if mark and begins and not block:
        return mark[2].lower()
    return "" if mark and not begins else block
