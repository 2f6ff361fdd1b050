"""XLS: the sheets of a workbook of Excel 97 to 2003 as tables."""

from datetime import datetime

import xlrd

from app.domain.document import ParsedDocument
from app.domain.errors import EncryptedFile
from ingestion.loaders.pieces import Pieces, trimmed
from ingestion.loaders.reader import StructureReader
from ingestion.loaders.xlsx import cell_text

MEDIA_TYPE = "application/vnd.ms-excel"


class XlsReader(StructureReader):
    """Reads workbooks through xlrd; formulas by the values that were saved with them, macros not at all."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """A heading for each sheet with something in it, and its rows."""
        try:
            book = xlrd.open_workbook(file_contents=data)
        except xlrd.XLRDError as error:
            if "encrypted" in str(error).lower():
                raise EncryptedFile from error
            raise
        pieces = Pieces()
        for sheet in book.sheets():
            rows = [[_text(cell, book.datemode) for cell in row] for row in sheet.get_rows()]
            if any(any(row) for row in rows):
                pieces.heading(2, sheet.name)
                pieces.table(trimmed(rows))
        return pieces.document(name, MEDIA_TYPE, "", author=book.user_name)


def _text(cell: xlrd.sheet.Cell, datemode: int) -> str:
    match cell.ctype:
        case xlrd.XL_CELL_DATE:
            try:
                return cell_text(datetime(*xlrd.xldate_as_tuple(cell.value, datemode)))
            except (ValueError, xlrd.xldate.XLDateError):  # a time of day, or no date at all
                return cell_text(cell.value)
        case xlrd.XL_CELL_BOOLEAN:
            return str(bool(cell.value))
        case xlrd.XL_CELL_ERROR:
            return str(xlrd.error_text_from_code.get(cell.value, ""))
    return cell_text(cell.value)
