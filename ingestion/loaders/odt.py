"""ODT: an OpenDocument text."""

from collections.abc import Iterator

from lxml import etree

from app.domain.document import ParsedDocument
from ingestion.loaders.package import opened, refuse_entities, tree
from ingestion.loaders.pieces import Pieces
from ingestion.loaders.reader import StructureReader

MEDIA_TYPE = "application/vnd.oasis.opendocument.text"
KIND = "OpenDocument text"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_LEFT_OUT = {f"{_TEXT}tracked-changes", f"{_OFFICE}annotation", f"{_TEXT}sequence-decls", f"{_TEXT}table-of-content"}


class OdtReader(StructureReader):
    """Reads the body; pages are not in the file, deleted text and comments are left out."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """Headings by outline level, lists, tables, footnotes where they stand."""
        with opened(data, KIND) as package:
            refuse_entities(package, KIND)
            body = tree(package.read("content.xml")).find(f".//{_OFFICE}text")
            meta = tree(package.read("meta.xml")) if "meta.xml" in package.namelist() else None
        pieces = Pieces()
        if body is not None:
            _write(body, pieces)
        found = {field: meta.findtext(f".//{_DC}{field}") if meta is not None else "" for field in _FIELDS}
        return pieces.document(
            name,
            MEDIA_TYPE,
            found["title"] or "",
            author=found["creator"],
            date=(found["date"] or "")[:10],
            language=found["language"],
        )


_FIELDS = ("title", "creator", "date", "language")


def _write(element: etree._Element, pieces: Pieces) -> None:
    for child in element:
        if child.tag == f"{_TEXT}h":
            level = child.get(f"{_TEXT}outline-level", "1")
            pieces.heading(min(6, int(level)) if level.isdecimal() and int(level) else 1, _inline(child))
        elif child.tag == f"{_TEXT}p":
            pieces.block(_inline(child))
        elif child.tag == f"{_TEXT}list":
            pieces.block("\n".join(_items(child, 0)))
        elif child.tag == f"{_TABLE}table":
            rows = child.iter(f"{_TABLE}table-row")
            pieces.table([[_inline(cell) for cell in row.findall(f"{_TABLE}table-cell")] for row in rows])
        elif child.tag not in _LEFT_OUT:
            _write(child, pieces)


def _items(listed: etree._Element, depth: int) -> Iterator[str]:
    for item in listed:
        for child in item:
            if child.tag == f"{_TEXT}list":
                yield from _items(child, depth + 1)
            elif text := _inline(child).strip():
                yield f"{'  ' * depth}- {text}"


def _inline(element: etree._Element) -> str:
    """The text within, with its spaces, tabs, line breaks and footnotes."""
    parts = [element.text or ""]
    for child in element:
        if child.tag == f"{_TEXT}s":
            count = child.get(f"{_TEXT}c", "1")
            parts.append(" " * (int(count) if count.isdecimal() else 1))
        elif child.tag == f"{_TEXT}tab":
            parts.append("\t")
        elif child.tag == f"{_TEXT}line-break":
            parts.append("\n")
        elif child.tag == f"{_TEXT}note":
            note = child.find(f"{_TEXT}note-body")
            parts.append(f" ({_inline(note).strip()})" if note is not None else "")
        elif child.tag not in _LEFT_OUT and isinstance(child.tag, str):
            parts.append(_inline(child))
            if child.tag in {f"{_TEXT}p", f"{_TEXT}h"}:
                parts.append(" ")
        parts.append(child.tail or "")
    return "".join(parts)
