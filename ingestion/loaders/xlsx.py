"""XLSX: the sheets of a workbook as tables."""

import io
import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from math import isfinite
from typing import Any

import openpyxl
from openpyxl.utils import column_index_from_string

from app.domain.document import ParsedDocument
from ingestion.loaders.grid import Merged, repeat
from ingestion.loaders.number_format import duration, shown
from ingestion.loaders.package import opened, refuse_entities
from ingestion.loaders.pieces import Pieces, trimmed
from ingestion.loaders.reader import StructureReader

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
KIND = "workbook"

_MERGED = re.compile(rb"<(?:\w+:)?mergeCell\s[^>]*?ref=[\"']([A-Z]{1,3})([1-9]\d{0,6}):[A-Z]{1,3}([1-9]\d{0,6})[\"']")


class XlsxReader(StructureReader):
    """Reads workbooks through openpyxl; formulas by the values that were saved with them, macros not at all."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """A heading for each sheet with something in it, and its rows."""
        with opened(data, KIND) as package:
            refuse_entities(package, KIND)
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
        pieces, properties = Pieces(), book.properties
        for sheet in book.worksheets:
            sheet.reset_dimensions()  # what a sheet says of its size is often wrong
            rows = [[_shown(cell) for cell in row] for row in sheet.iter_rows()]
            if any(any(row) for row in rows):
                repeat(rows, _merged(sheet))
                pieces.heading(2, sheet.title)
                pieces.table(trimmed(rows))
        return pieces.document(
            name, MEDIA_TYPE, properties.title or "", author=properties.creator, date=_day(properties.modified)
        )


def _merged(sheet: Any) -> Iterator[Merged]:
    """The cells that span rows, which openpyxl leaves out when it only reads; as bytes, for a tree takes memory."""
    with sheet._get_source() as source:
        for found in _MERGED.finditer(source.read()):
            column, top, bottom = found.groups()
            yield Merged(column_index_from_string(column.decode()) - 1, int(top) - 1, int(bottom) - 1)


def _shown(cell: Any) -> str:
    value = cell.value
    if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
        text = shown(value, cell.number_format)
        if text is not None:
            return text
    return cell_text(value)


def cell_text(value: object) -> str:
    """A cell as people see it: no time for whole days, no point for whole numbers, days are in ISO's order."""
    match value:
        case None:
            return ""
        case datetime() if value.time() == time():
            return value.date().isoformat()
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return duration(value)
        case float() if value.is_integer():
            return str(int(value))
        case float():
            return f"{value:.15g}"  # what is behind is an error of calculating, and not shown
    return str(value)


def _day(value: datetime | None) -> str:
    return value.date().isoformat() if value is not None else ""
