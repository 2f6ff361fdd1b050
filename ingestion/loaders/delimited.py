"""Delimited text: CSV and TSV as tables."""

import csv
import io
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import PurePath

from app.domain.document import ParsedDocument
from ingestion.loaders.characters import clean, decode
from ingestion.loaders.pieces import Pieces
from ingestion.loaders.reader import StructureReader

_DELIMITERS = ",;\t|"
_SNIFFED = 20_000
_UNENDED = "unexpected end of data"  # what `csv` says of a quote without its other half


class DelimitedReader(StructureReader):
    """Reads rows of cells; the first row is the header, as everywhere."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """A table, in pieces that each have the header."""
        text = clean(decode(data))
        tabs = PurePath(name).suffix.lower() in {".tsv", ".tab"}
        csv.field_size_limit(sys.maxsize)
        pieces = Pieces()
        pieces.table(_rows(text, "\t" if tabs else None))
        media_type = "text/tab-separated-values" if tabs else "text/csv"
        return pieces.document(name, media_type, PurePath(name).stem)


def _rows(text: str, delimiter: str | None) -> Iterator[list[str]]:
    """The cells of each row.

    How quotes are doubled is not taken from the sniffer, which sees only the beginning. Spaces are white space around
    cells anyway, and quotes may follow them, but where one never ends: that is a word's.
    """
    found, quote = _sniffed(text)
    read = partial(csv.reader, delimiter=delimiter or found, quotechar=quote)
    spaced = _closes(read(io.StringIO(text), skipinitialspace=True, strict=True))
    return read(io.StringIO(text), skipinitialspace=spaced)


def _sniffed(text: str) -> tuple[str, str]:
    """What separates cells, and what quotes them."""
    try:
        found = csv.Sniffer().sniff(text[:_SNIFFED], _DELIMITERS)
    except csv.Error:  # one column, for one
        return ",", '"'
    return found.delimiter or ",", "'" if found.quotechar == "'" else '"'


def _closes(rows: Iterator[list[str]]) -> bool:
    """Whether every quote ends somewhere."""
    try:
        for _ in rows:
            pass
    except csv.Error as error:
        return _UNENDED not in str(error)
    return True
