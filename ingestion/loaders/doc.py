"""DOC: a document of Word 97 to 2003 ([MS-DOC])."""

import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from app.domain.document import ParsedDocument
from app.domain.errors import DamagedFile, EncryptedFile, UnsupportedFormat
from ingestion.loaders.compound import number_at, opened, properties, stream
from ingestion.loaders.pieces import Pieces
from ingestion.loaders.reader import StructureReader

MEDIA_TYPE = "application/msword"
_WORD_97 = 0xA5EC
_ENCRYPTED, _SECOND_TABLE = 0x0100, 0x0200
_STORIES_AT = 0x4C  # lengths of: text, footnotes, headers, macros, comments, endnotes, text boxes, those of headers
_READ = (0, 1, 5, 6)
_PLACES_AT = 0x9A  # pairs of offset and length in the table stream
_CHARACTERS, _PARAGRAPHS, _PIECES = 12, 13, 33
_PAGE = 512
_COMPRESSED = 0x40000000  # a piece in a byte for each character, not two
_PARAGRAPH_ENDS = "\r\x07\x0c\x0e"
_CELL_END = "\x07"
_BEGIN, _SEPARATE, _END = "\x13\x14\x15"  # of a field: its instruction, then what is shown
_PLAIN = str.maketrans({"\x0b": "\n", "\x1e": "-", "\xa0": " "} | dict.fromkeys("\x00\x01\x02\x03\x04\x05\x08\x1f", ""))
# The changes (sprm) that are looked at.
_IN_TABLE, _ROW_END, _LIST, _DEPTH, _OUTLINE = 0x2416, 0x2417, 0x460B, 0x260A, 0x2640
_TABLE_SHAPE, _TABS = 0xD608, 0xC615
_DELETED, _HIDDEN = 0x0800, 0x083C
_NO_LIST = 0xF801
_OPERAND_BYTES = {0: 1, 1: 1, 2: 2, 3: 4, 4: 2, 5: 2, 7: 3}
_BODY = 9  # the outline level of what is no heading


@dataclass(frozen=True, slots=True)
class _Properties:
    """What a paragraph is: a heading of a level (0: none), a row's end, in a table, in a list at a depth."""

    level: int = 0
    row_end: bool = False
    in_table: bool = False
    depth: int | None = None


@dataclass(frozen=True, slots=True)
class _Piece:
    """Characters `start` to `end` of the text: where they are in the main stream, in so many bytes each."""

    start: int
    end: int
    place: int
    bytes_each: int


@dataclass(slots=True)
class _Writing:
    """What is being put together: a table's rows and cells, or a list's lines."""

    pieces: Pieces
    rows: list[list[str]] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)
    cell: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def paragraph(self, text: str, mark: str, what: _Properties) -> None:
        """Take a paragraph, or a cell's or row's end."""
        if mark == _CELL_END and what.row_end:
            self.rows.append(self.cells)
            self.cells, self.cell = [], []
        elif mark == _CELL_END:
            self.cells.append("\n".join((*self.cell, text)))
            self.cell = []
        elif what.in_table:
            self.cell.append(text)
        elif what.level:
            self.flush()
            self.pieces.heading(what.level, text)
        elif what.depth is not None:
            self._end_table()
            if text.strip():
                self.lines.append(f"{'  ' * what.depth}- {text.strip()}")
        else:
            self.flush()
            self.pieces.block(text)

    def flush(self) -> None:
        """Write the table and the list that end here."""
        self._end_table()
        self.pieces.block("\n".join(self.lines))
        self.lines = []

    def _end_table(self) -> None:
        if self.cells or self.cell:  # a row whose end is not marked
            self.rows.append([*self.cells, "\n".join(self.cell)])
            self.cells, self.cell = [], []
        if self.rows:
            self.pieces.block("\n".join(self.lines))
            self.lines = []
            self.pieces.table(self.rows)
            self.rows = []


class DocReader(StructureReader):
    """Reads text, notes and text boxes; headers, comments, deleted and hidden text, the contents are left out."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """Headings by style or outline level, lists, tables, fields as they were last shown."""
        with opened(data) as file:
            word = _Word(main := stream(file, "WordDocument"), stream(file, _table_of(main)))
            about = properties(file)
        writing = _Writing(Pieces())
        for text, mark, what in word.paragraphs():
            writing.paragraph(text, mark, what)
        writing.flush()
        return writing.pieces.document(name, MEDIA_TYPE, about.pop("title", ""), **about)


def _table_of(main: bytes) -> str:
    """Which of its two tables a document uses. Raises EncryptedFile, UnsupportedFormat."""
    kind, flags = number_at(main, 0, "H"), number_at(main, 0x0A, "H")
    if kind != _WORD_97:
        raise UnsupportedFormat("The file is of a Word version before 97; save it as DOCX and ingest it again.")
    if flags & _ENCRYPTED:
        raise EncryptedFile
    return "1Table" if flags & _SECOND_TABLE else "0Table"


class _Word:
    """A document's main stream and its table stream."""

    def __init__(self, main: bytes, table: bytes) -> None:
        self._main = main
        self._pieces = _pieces(self._part(table, _PIECES))
        self._gone = self._deleted(self._part(table, _CHARACTERS))
        found = [one for page in self._pages(self._part(table, _PARAGRAPHS)) for one in _page_of_properties(page)]
        self._properties = sorted(found, key=_start)

    def paragraphs(self) -> Iterator[tuple[str, str, _Properties]]:
        """Each with the mark that ends it, of all parts that are read."""
        units, at = "".join(self._units()), 0
        for story in range(8):
            length = number_at(self._main, _STORIES_AT + 4 * story)
            if story in _READ:
                yield from self._paragraphs(units, at, min(at + length, len(units)))
            at += length

    def _paragraphs(self, units: str, start: int, end: int) -> Iterator[tuple[str, str, _Properties]]:
        text, fields = list[str](), _Fields()
        for at in range(start, end):
            unit = units[at]
            shown = fields.shows(unit)
            if unit in _PARAGRAPH_ENDS and fields.shown:
                yield _joined(text), unit, self._properties_at(at)
                text = []
            elif shown:
                text.append(unit)
        if text:
            yield _joined(text), "\r", _Properties()

    def _units(self) -> Iterator[str]:
        """The text piece by piece, as UTF-16 code units."""
        for piece in self._pieces:
            length = (piece.end - piece.start) * piece.bytes_each
            raw = self._main[piece.place : piece.place + length]
            if len(raw) < length:
                raise DamagedFile("The DOC file ends before its text does; get a whole copy and ingest it again.")
            units = list(raw.decode("cp1252", errors="replace") if piece.bytes_each == 1 else _unpacked(raw))
            for start, end in self._gone:
                first, last = ((place - piece.place) // piece.bytes_each for place in (start, end))
                first, last = max(0, first), min(len(units), last)
                units[first:last] = "\0" * (last - first)
            yield "".join(units)

    def _properties_at(self, unit: int) -> _Properties:
        piece = self._pieces[bisect_right(self._pieces, unit, key=lambda one: one.start) - 1]
        place = piece.place + (unit - piece.start) * piece.bytes_each
        before = bisect_right(self._properties, place, key=_start)
        _, end, what = self._properties[before - 1] if before else (0, 0, _Properties())
        return what if place < end else _Properties()

    def _deleted(self, table: bytes) -> list[tuple[int, int]]:
        """Where in the main stream characters begin and end that are deleted with changes tracked, or hidden."""
        return [place for page in self._pages(table) for place in _page_of_deleted(page)]

    def _pages(self, table: bytes) -> Iterator[bytes]:
        """The pages of the main stream that a table of properties (PlcBte) lists."""
        count = (len(table) - 4) // 8
        for number in range(count):
            start = (number_at(table, 4 * (count + 1 + number)) & 0x3FFFFF) * _PAGE
            yield self._main[start : start + _PAGE]

    def _part(self, table: bytes, number: int) -> bytes:
        start, length = (number_at(self._main, _PLACES_AT + 8 * number + 4 * i) for i in range(2))
        return table[start : start + length]


class _Fields:
    """Follows fields: of each, only what is shown is text, and of a table of contents nothing."""

    def __init__(self) -> None:
        self._open: list[tuple[bool, str]] = []  # whether it is shown by now, and how its instruction begins
        self.shown = True

    def shows(self, unit: str) -> bool:
        """Whether the unit, which is next, is text that is shown."""
        if unit == _BEGIN:
            self._open.append((False, ""))
        elif unit == _SEPARATE and self._open:
            instruction = self._open[-1][1]
            self._open[-1] = (instruction.split()[:1] != ["TOC"], instruction)
        elif unit == _END and self._open:
            self._open.pop()
        else:
            if self._open and not self._open[-1][0]:
                self._open[-1] = (False, (self._open[-1][1] + unit)[:8])
            return self.shown
        self.shown = all(shown for shown, _ in self._open)
        return False


def _pieces(table: bytes) -> list[_Piece]:
    """The pieces of the text in order."""
    at = 0
    while at < len(table) and table[at] == 1:  # formatting that pieces refer to
        at += 3 + number_at(table, at + 1, "H")
    if at >= len(table) or table[at] != 2:
        raise DamagedFile("The DOC file lacks the table of its text; get a whole copy and ingest it again.")
    count = (number_at(table, at + 1) - 4) // 12
    at += 5
    bounds = struct.unpack_from(f"<{count + 1}I", table, at)
    pieces = []
    for number, (start, end) in enumerate(pairwise(bounds)):
        place = number_at(table, at + 4 * (count + 1) + 8 * number + 2)
        bytes_each = 1 if place & _COMPRESSED else 2
        pieces.append(_Piece(start, end, (place & (_COMPRESSED - 1)) // (3 - bytes_each), bytes_each))
    return [piece for piece in pieces if piece.start < piece.end]


def _unpacked(raw: bytes) -> str:
    """Text as UTF-16 code units."""
    return "".join(map(chr, struct.unpack(f"<{len(raw) // 2}H", raw)))


def _page_of_deleted(page: bytes) -> Iterator[tuple[int, int]]:
    """The deleted and hidden runs of a page of characters' properties (ChpxFkp): where each starts and ends."""
    bounds = _bounds(page, 1)
    for number, (start, end) in enumerate(pairwise(bounds)):
        at = 2 * page[4 * len(bounds) + number]
        said = dict(_changes(page[at + 1 : at + 1 + page[at]])) if at else {}
        if said.get(_DELETED) or said.get(_HIDDEN):
            yield start, end


def _bounds(page: bytes, size: int) -> tuple[int, ...]:
    """Where the runs of a page begin, and where the last one ends; of each run it has `size` bytes more."""
    count = page[-1] if len(page) == _PAGE else 0
    return struct.unpack_from(f"<{count + 1}I", page) if (4 + size) * count + 4 < _PAGE else ()


def _start(run: tuple[int, int, _Properties]) -> int:
    return run[0]


def _page_of_properties(page: bytes) -> Iterator[tuple[int, int, _Properties]]:
    """The paragraphs of a page of properties (PapxFkp): where each starts and ends, and what it is."""
    bounds = _bounds(page, 13)
    for number in range(len(bounds) - 1):
        at = 2 * page[4 * len(bounds) + 13 * number]
        if not at:
            yield bounds[number], bounds[number + 1], _Properties()
            continue
        start, length = (at + 1, 2 * page[at] - 1) if page[at] else (at + 2, 2 * page[at + 1])
        yield bounds[number], bounds[number + 1], _read_properties(page[start : start + length])


def _read_properties(data: bytes) -> _Properties:
    """What a paragraph is, by its style and the changes to it (GrpPrlAndIstd)."""
    style = number_at(data, 0, "H") if len(data) > 1 else 0
    said = dict(_changes(data[2:]))
    outline = said.get(_OUTLINE, _BODY)
    level = style if 1 <= style <= _BODY else 0 if outline >= _BODY else outline + 1
    return _Properties(
        level=min(6, level),
        row_end=bool(said.get(_ROW_END)),
        in_table=bool(said.get(_IN_TABLE)),
        depth=min(8, said.get(_DEPTH, 0)) if 0 < said.get(_LIST, 0) < _NO_LIST else None,
    )


def _changes(data: bytes) -> Iterator[tuple[int, int]]:
    """The changes (Prl) with operands of one or two bytes, in order."""
    at = 0
    while at + 3 <= len(data):
        code, size = number_at(data, at, "H"), 0
        at += 2
        if code >> 13 in _OPERAND_BYTES:
            size = _OPERAND_BYTES[code >> 13]
        elif code == _TABLE_SHAPE and at + 2 <= len(data):
            size = 1 + number_at(data, at, "H")
        elif code == _TABS and data[at] == 255:
            return  # its length must be counted; it is always the last one
        else:
            size = 1 + data[at]
        if size in {1, 2} and at + size <= len(data):
            yield code, int.from_bytes(data[at : at + size], "little")
        at += size


def _joined(units: list[str]) -> str:
    """A paragraph's text of its UTF-16 code units; characters of symbol fonts, mere bullets, are left out."""
    text = "".join(units).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").translate(_PLAIN)
    return "".join(character for character in text if not "\uf000" <= character <= "\uf0ff").strip(" ")
