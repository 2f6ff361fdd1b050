"""Delimited text: CSV and TSV as tables."""

import csv
import io
import re
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
_DECLARED = re.compile('"?sep=(.)"?\r?\n', re.IGNORECASE)  # what Excel writes and reads
_UNENDED = "unexpected end of data"  # what `csv` says of a quote without its other half


class DelimitedReader(StructureReader):
    """Reads rows of cells; the first row is the header, as everywhere."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """A table, in pieces that each have the header."""
        text = clean(decode(data))
        tabs = PurePath(name).suffix.lower() in {".tsv", ".tab"}
        csv.field_size_limit(sys.maxsize)
        pieces = Pieces()
        if (declares := _DECLARED.match(text)) is not None:
            pieces.table(_rows(text[declares.end() :], declares[1]))
        else:
            pieces.table(_rows(text, "\t" if tabs else None))
        media_type = "text/tab-separated-values" if tabs else "text/csv"
        return pieces.document(name, media_type, PurePath(name).stem)


def _rows(text: str, delimiter: str | None) -> Iterator[list[str]]:
    """The cells of each row.

    How quotes are doubled is not taken from the sniffer, which sees only the beginning. Spaces are white space around
    cells anyway, and quotes may follow them. A quote that does not end where a cell does belongs to a word, and the row
    that it begins in to one line.
    """
    found, quote = _sniffed(text)
    read = partial(csv.reader, delimiter=delimiter or found, quotechar=quote, skipinitialspace=True)
    lines, at = list(io.StringIO(text)), 0
    while at < len(lines):
        rows, start = read(map(lines.__getitem__, range(at, len(lines))), strict=True), at
        try:
            for row in rows:
                yield row
                at = start + rows.line_num
        except csv.Error as error:
            unended = start + rows.line_num > at + 1 or _UNENDED in str(error)
            yield from read([lines[at]], quoting=csv.QUOTE_NONE if unended else csv.QUOTE_MINIMAL)
            at += 1


def _sniffed(text: str) -> tuple[str, str]:
    """What separates cells, and what quotes them."""
    try:
        found = csv.Sniffer().sniff(text[:_SNIFFED], _DELIMITERS)
    except csv.Error:  # one column, for one
        return ",", '"'
    return found.delimiter or ",", "'" if found.quotechar == "'" else '"'
