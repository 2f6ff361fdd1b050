"""RTF: rich text as plain text."""

import re

from striprtf.striprtf import rtf_to_text

from app.domain.document import ParsedDocument
from ingestion.loaders.pieces import Pieces
from ingestion.loaders.reader import StructureReader

MEDIA_TYPE = "application/rtf"
_HEAD = 200_000  # characters, in which fonts, styles and what is said of the document stand


class RtfReader(StructureReader):
    """Reads rich text through striprtf; styles and images are left out, so that there are no headings."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """Its paragraphs, with what it says of itself."""
        pieces, source = Pieces(), data.decode("latin-1")
        for line in rtf_to_text(source, errors="replace").split("\n"):
            pieces.block(line.strip())
        return pieces.document(
            name, MEDIA_TYPE, _said(source, "title"), author=_said(source, "author"), date=_day(source)
        )


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
