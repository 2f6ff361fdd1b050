"""Outline: texts whose headings are lines with a mark at their start: AsciiDoc and Org."""

import re

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
        headings, block, at = list[Heading](), "", 0
        for line in text.splitlines(keepends=True):
            mark = _ASCIIDOC_BLOCK.match(line)
            if mark and (not block or mark[1] == block):
                block = "" if block else mark[1]
            elif not block and (found := _ASCIIDOC_HEADING.match(line)):
                headings.append(Heading(len(found[1]), found[2].strip(), at))
            at += len(line)
        return ParsedDocument(text, choose_title(text, tuple(headings), "", name), "text/asciidoc", tuple(headings))


class OrgReader(StructureReader):
    """Reads Org: the source text as it is, and its headlines."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """The text; stars at the start of a line are headings, without keywords and tags, but not within blocks."""
        text = clean(decode(data))
        headings, block, at = list[Heading](), "", 0
        for line in text.splitlines(keepends=True):
            mark = _ORG_BLOCK.match(line)
            if mark and (begins := mark[1].lower() == "begin") == (not block):
                block = mark[2].lower() if begins else ""
            elif not block and (found := _ORG_HEADING.match(line)):
                headings.append(Heading(len(found[1]), found[2], at))
            at += len(line)
        title = _ORG_TITLE.search(text)
        given = title[1].strip() if title else ""
        return ParsedDocument(text, given or choose_title(text, tuple(headings), "", name), "text/org", tuple(headings))
