"""XLSX: the sheets of a workbook as tables."""

import io
from datetime import date, datetime, time, timedelta
from math import isfinite
from typing import Any

import openpyxl

from app.domain.document import ParsedDocument
from ingestion.loaders.number_format import duration, shown
from ingestion.loaders.package import opened, refuse_entities
from ingestion.loaders.pieces import Pieces, trimmed
from ingestion.loaders.reader import StructureReader

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
KIND = "workbook"


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
                pieces.heading(2, sheet.title)
                pieces.table(trimmed(rows))
        return pieces.document(
            name, MEDIA_TYPE, properties.title or "", author=properties.creator, date=_day(properties.modified)
        )


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
