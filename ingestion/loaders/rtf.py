"""RTF: rich text as plain text."""

import re
from itertools import groupby

from striprtf.striprtf import rtf_to_text

from app.domain.document import ParsedDocument
from ingestion.loaders.pieces import Pieces
from ingestion.loaders.reader import StructureReader

MEDIA_TYPE = "application/rtf"
_ITEM = re.compile(r"\{\\(?:listtext|pntext)\b ?")
_NOTE = re.compile(r"\{\\footnote\b(?:\\ftnalt\b)? ?")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)  # those that are written are behind a backslash
_HEAD = 200_000  # characters, in which fonts, styles and what is said of the document stand


class RtfReader(StructureReader):
    """Reads rich text through striprtf; styles and images are left out, so that there are no headings."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """Its paragraphs and tables with the numbers of items, footnotes where they stand, what it says of itself."""
        pieces, source = Pieces(), data.decode("latin-1")
        lines = rtf_to_text(_with_hidden(source), errors="replace").split("\n")
        for is_row, group in groupby(lines, lambda line: line.endswith("|") and "|" in line[:-1]):
            if is_row:
                pieces.table([cell.strip() for cell in line[:-1].split("|")] for line in group)
            else:
                for line in group:
                    pieces.block(" ".join(line.split()))
        return pieces.document(
            name, MEDIA_TYPE, _said(source, "title"), author=_said(source, "author"), date=_day(source)
        )


def _with_hidden(source: str) -> str:
    """The source with what striprtf leaves out as text of its paragraphs: numbers of items, footnotes in brackets."""
    source, parts, at = _ITEM.sub("{", source), list[str](), 0
    for found in _NOTE.finditer(source):
        depth, end = 1, 0
        for brace in _BRACE.finditer(source, found.end()) if found.start() >= at else ():
            depth += {"{": 1, "}": -1}.get(brace[0], 0)
            if not depth:
                end = brace.start()
                break
        if end:
            parts += [source[at : found.start()], "{ (", source[found.end() : end], ")"]
            at = end
    return "".join([*parts, source[at:]])


def _said(source: str, field: str) -> str:
    """What the group of information at the beginning says of itself, in the document's letters."""
    head = source[:_HEAD]
    found = re.search(rf"\{{\\info\b.*?\{{\\{field} ([^{{}}]*)\}}", head, re.DOTALL)
    page = re.search(r"\\ansicpg\d+", head)
    return rtf_to_text(rf"{{\rtf1\ansi{page[0] if page else ''} {found[1]}}}", errors="replace") if found else ""


def _day(source: str) -> str:
    """When it was changed last, or else made."""
    for field in ("revtim", "creatim"):
        if found := re.search(rf"\{{\\{field}\\yr(\d{{4}})\\mo(\d\d?)\\dy(\d\d?)", source[:_HEAD]):
            return f"{found[1]}-{int(found[2]):02}-{int(found[3]):02}"
    return ""
