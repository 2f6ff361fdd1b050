"""OpenDocument: texts (ODT), presentations (ODP) and spreadsheets (ODS)."""

from collections.abc import Iterator

from lxml import etree

from app.domain.document import ParsedDocument
from ingestion.loaders.grid import Merged, repeat
from ingestion.loaders.open_document_numbers import Numbers
from ingestion.loaders.package import opened, refuse_entities, tree
from ingestion.loaders.pieces import Pieces, trimmed
from ingestion.loaders.reader import StructureReader

MEDIA_TYPE = "application/vnd.oasis.opendocument."
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
_PRESENTATION = "{urn:oasis:names:tc:opendocument:xmlns:presentation:1.0}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_LEFT_OUT = {
    *(f"{_TEXT}tracked-changes", f"{_OFFICE}annotation", f"{_TEXT}sequence-decls", f"{_TEXT}table-of-content"),
    *(f"{_PRESENTATION}notes", f"{_OFFICE}forms", f"{_TABLE}shapes"),
}
_FURNITURE = {"header", "footer", "date-time", "page-number"}
_MOST_REPEATED = 1_000  # of a row or cell that has something in it


class _OpenDocumentReader(StructureReader):
    """Reads the body; `kind` is what its media type and its element in the package are called."""

    kind: str

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """The body's blocks, with what the file says of itself."""
        called = f"OpenDocument {self.kind}"
        with opened(data, called) as package:
            refuse_entities(package, called)
            content = tree(package.read("content.xml"))
            meta, styles = [
                tree(package.read(part)) if part in package.namelist() else None for part in ("meta.xml", "styles.xml")
            ]
        pieces, body = Pieces(), content.find(f".//{_OFFICE}{self.kind}")
        if body is not None:
            self.write(body, pieces, Numbers(content) if styles is None else Numbers(styles, content))
        found = {field: meta.findtext(f".//{_DC}{field}") if meta is not None else "" for field in _FIELDS}
        return pieces.document(
            name,
            MEDIA_TYPE + self.kind,
            found["title"] or "",
            author=found["creator"],
            date=(found["date"] or "")[:10],
            language=found["language"],
        )

    def write(self, body: etree._Element, pieces: Pieces, numbers: Numbers) -> None:
        """Write the body's blocks."""
        _write(body, pieces, numbers)


class OdtReader(_OpenDocumentReader):
    """Headings by outline level, lists, tables, footnotes where they stand; deleted text and comments are left out."""

    kind = "text"


class OdpReader(_OpenDocumentReader):
    """A page for each slide: its title as a heading, its text, its tables, its notes."""

    kind = "presentation"

    def write(self, body: etree._Element, pieces: Pieces, numbers: Numbers) -> None:
        """Write the slides."""
        for number, slide in enumerate(body.iter(f"{_DRAW}page"), start=1):
            pieces.page()
            frames = {one: one.get(f"{_PRESENTATION}class") for one in slide.iter(f"{_DRAW}frame")}
            title = next((one for one, role in frames.items() if role == "title" and _inline(one).strip()), None)
            pieces.heading(2, _inline(title) if title is not None else f"Slide {number}")
            for child in slide:
                if child is not title and child.tag not in _LEFT_OUT and frames.get(child) not in _FURNITURE:
                    _write(child, pieces, numbers)
            spoken = Pieces()
            for frame, role in frames.items():
                if role == "notes":
                    _write(frame, spoken, numbers)
            said = spoken.document("", "").text.strip()
            pieces.block(f"Notes: {said}" if said else "")


class OdsReader(_OpenDocumentReader):
    """A heading for each sheet with something in it, and its rows; values as they are shown."""

    kind = "spreadsheet"

    def write(self, body: etree._Element, pieces: Pieces, numbers: Numbers) -> None:
        """Write the sheets."""
        for sheet in body.findall(f"{_TABLE}table"):
            rows = [row for row in _rows(sheet) if any(row)]
            if rows:
                pieces.heading(2, sheet.get(f"{_TABLE}name", ""))
                pieces.table(trimmed(rows))


_FIELDS = ("title", "creator", "date", "language")


def _write(element: etree._Element, pieces: Pieces, numbers: Numbers) -> None:
    for child in element:
        if child.tag == f"{_TEXT}h":
            said, title = child.get(f"{_TEXT}outline-level", "1"), _inline(child)
            level = int(said) if said.isdecimal() and int(said) else 1
            number = numbers.of_heading(child, level) if title.strip() else ""
            pieces.heading(min(6, level), f"{number} {title}")
        elif child.tag == f"{_TEXT}p":
            pieces.block(_inline(child))
        elif child.tag == f"{_TEXT}list":
            pieces.block("\n".join(_items(child, 0, numbers, numbers.begin(child))))
        elif child.tag == f"{_TABLE}table":
            pieces.table(_rows(child))
        elif child.tag not in _LEFT_OUT:
            _write(child, pieces, numbers)


def _rows(table: etree._Element) -> list[list[str]]:
    """The rows of a table; what is merely said to be repeated is written out, the endless empty rest of a sheet not."""
    rows, merged = list[list[str]](), list[Merged]()
    for row in table.iter(f"{_TABLE}table-row"):
        cells = list[str]()
        for cell in row.iterchildren(f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell"):
            text, down = _inline(cell).strip(), _count(cell, "rows-spanned")
            if down > 1:
                merged.append(Merged(len(cells), len(rows), len(rows) + down - 1))
            cells += [text] * min(_count(cell, "columns-repeated"), _MOST_REPEATED)
        while cells and not cells[-1]:
            cells.pop()
        times = min(_count(row, "rows-repeated"), _MOST_REPEATED) if cells else 1
        rows += [list(cells) for _ in range(times)]
    repeat(rows, merged)
    return rows


def _count(element: etree._Element, what: str) -> int:
    count = element.get(f"{_TABLE}number-{what}", "1")
    return int(count) if count.isdecimal() else 1


def _items(listed: etree._Element, depth: int, numbers: Numbers, style: str) -> Iterator[str]:
    """The lines of a list, those of a deeper one indented; what follows in an item has no marker of its own."""
    for item in listed:
        marker = ""
        if item.tag == f"{_TEXT}list-item" and any(child.tag != f"{_TEXT}list" for child in item):
            marker = f"{numbers.of_item(style, depth + 1, item) or '-'} "
        for child in item:
            if child.tag == f"{_TEXT}list":
                yield from _items(child, depth + 1, numbers, child.get(f"{_TEXT}style-name", style))
            elif text := _inline(child).strip():
                yield f"{'  ' * depth}{marker}{text}"
                marker = "  "


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
