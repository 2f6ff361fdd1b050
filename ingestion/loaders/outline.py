"""Outline: texts whose headings are lines with a mark at their start: AsciiDoc and Org."""

import re
from collections.abc import Callable
from itertools import takewhile

from app.domain.document import Heading, ParsedDocument
from ingestion.loaders.characters import clean, decode
from ingestion.loaders.declared import declared
from ingestion.loaders.reader import StructureReader
from ingestion.loaders.title import choose_title

_ASCIIDOC_HEADING = re.compile(r"(={1,6}) (\S.*)")
_ASCIIDOC_BLOCK = re.compile(r"(-{4,}|\.{4,}|={4,}|\*{4,}|_{4,}|\+{4,}|/{4,}|`{3,}|\|===)\s*\Z")
_ORG_HEADING = re.compile(r"(\*{1,6}) (?:(?:TODO|DONE) )?(?:\[#[A-Z]\] )?(\S.*?)(?:\s+:[\w@:]+:)?\s*\Z")
_ORG_BLOCK = re.compile(r"\s*#\+(begin|end)_(\w+)", re.IGNORECASE)
_ORG_FIELD = re.compile(r"^#\+(title|author|date|language):[ \t]*(\S.*)$", re.IGNORECASE | re.MULTILINE)
_ASCIIDOC_FIELD = re.compile(r":(author|date|revdate|lang):[ \t]+(\S.*)")
_ASCIIDOC_AUTHOR = re.compile(r"(\w[\w.'’-]*(?: \w[\w.'’-]*){0,2})(?: <[^<>]*>)?(?:;.*)?")
_ASCIIDOC_REVISION = re.compile(r"(?:v[^,]*, *)?(\d{4}-\d\d-\d\d)\b.*")


class AsciiDocReader(StructureReader):
    """Reads AsciiDoc: the source text as it is, and its section titles."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """The text; `=` to `======` are headings, but not within delimited blocks."""
        text = clean(decode(data))
        headings = _headings(text, _ASCIIDOC_HEADING, _asciidoc_block)
        title = choose_title(text, headings, "", name)
        return ParsedDocument(text, title, "text/asciidoc", headings, metadata=_asciidoc_header(text))


class OrgReader(StructureReader):
    """Reads Org: the source text as it is, and its headlines."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """The text; stars at the start of a line are headings, without keywords and tags, but not within blocks."""
        text = clean(decode(data))
        headings = _headings(text, _ORG_HEADING, _org_block)
        said = {field.lower(): value.strip() for field, value in reversed(_ORG_FIELD.findall(text))}  # the first counts
        title = said.pop("title", "") or choose_title(text, headings, "", name)
        return ParsedDocument(text, title, "text/org", headings, metadata=declared(**said))


def _asciidoc_header(text: str) -> dict[str, object]:
    """What the lines below the title say: the author, the revision, attributes; they end at the first blank one."""
    lines = takewhile(str.strip, text.lstrip("\n").split("\n"))
    said = dict[str, str]()
    for number, line in enumerate(lines):
        if field := _ASCIIDOC_FIELD.fullmatch(line):
            said[field[1]] = field[2]
        elif number == 1 and (author := _ASCIIDOC_AUTHOR.fullmatch(line)):
            said["author"] = author[1]
        elif number == 2 and (revision := _ASCIIDOC_REVISION.fullmatch(line)):
            said["revdate"] = revision[1]
        elif number == 0 and not line.startswith("= "):
            return {}
    return declared(author=said.get("author"), date=said.get("revdate") or said.get("date"), language=said.get("lang"))


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
