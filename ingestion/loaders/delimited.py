"""Delimited text: CSV and TSV as tables."""

import csv
import io
import sys
from pathlib import PurePath

from app.domain.document import ParsedDocument
from ingestion.loaders.characters import clean, decode
from ingestion.loaders.pieces import Pieces
from ingestion.loaders.reader import StructureReader

_DELIMITERS = ",;\t|"
_SNIFFED = 20_000


class DelimitedReader(StructureReader):
    """Reads rows of cells; the first row is the header, as everywhere."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """A table, in pieces that each have the header."""
        text = clean(decode(data))
        tabs = PurePath(name).suffix.lower() in {".tsv", ".tab"}
        csv.field_size_limit(sys.maxsize)
        pieces = Pieces()
        # spaces are white space around cells anyway, and quotes may follow them
        delimiter = "\t" if tabs else _delimiter(text)
        pieces.table(csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True))
        media_type = "text/tab-separated-values" if tabs else "text/csv"
        return pieces.document(name, media_type, PurePath(name).stem)


def _delimiter(text: str) -> str:
    """What separates cells; how quotes are written is not taken from the sniffer, which sees only the beginning."""
    try:
        return csv.Sniffer().sniff(text[:_SNIFFED], _DELIMITERS).delimiter or ","
    except csv.Error:  # one column, for one
        return ","
