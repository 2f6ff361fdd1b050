"""XLS: the sheets of a workbook of Excel 97 to 2003 as tables."""

from datetime import datetime, time, timedelta

import xlrd

from app.domain.document import ParsedDocument
from app.domain.errors import EncryptedFile
from ingestion.loaders.grid import Merged, repeat
from ingestion.loaders.number_format import duration, shown
from ingestion.loaders.pieces import Pieces, trimmed
from ingestion.loaders.reader import StructureReader
from ingestion.loaders.xlsx import cell_text

MEDIA_TYPE = "application/vnd.ms-excel"


class XlsReader(StructureReader):
    """Reads workbooks through xlrd; formulas by the values that were saved with them, macros not at all."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """A heading for each sheet with something in it, and its rows; numbers as their formats show them."""
        try:
            book = xlrd.open_workbook(file_contents=data, formatting_info=True)
        except xlrd.XLRDError as error:
            if "encrypted" in str(error).lower():
                raise EncryptedFile from error
            raise
        pieces = Pieces()
        for sheet in book.sheets():
            rows = [[_text(cell, book) for cell in row] for row in sheet.get_rows()]
            if any(any(row) for row in rows):
                repeat(rows, (Merged(left, top, below - 1) for top, below, left, _ in sheet.merged_cells))
                pieces.heading(2, sheet.name)
                pieces.table(trimmed(rows))
        return pieces.document(name, MEDIA_TYPE, "", author=book.user_name)


def _text(cell: xlrd.sheet.Cell, book: xlrd.Book) -> str:
    form = book.format_map.get(book.xf_list[cell.xf_index].format_key) if cell.xf_index is not None else None
    code = form.format_str if form is not None else ""
    match cell.ctype:
        case xlrd.XL_CELL_DATE if "[h" in code.lower():
            return duration(timedelta(days=cell.value))
        case xlrd.XL_CELL_DATE:
            try:
                year, month, day, *clock = xlrd.xldate_as_tuple(cell.value, book.datemode)
                return cell_text(datetime(year, month, day, *clock) if year else time(*clock))
            except (ValueError, xlrd.xldate.XLDateError):  # no date at all
                return cell_text(cell.value)
        case xlrd.XL_CELL_NUMBER:
            return shown(cell.value, code) or cell_text(cell.value)
        case xlrd.XL_CELL_BOOLEAN:
            return str(bool(cell.value))
        case xlrd.XL_CELL_ERROR:
            return str(xlrd.error_text_from_code.get(cell.value, ""))
    return cell_text(cell.value)
