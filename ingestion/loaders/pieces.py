"""Pieces: a document's text put together block by block, its headings located."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from app.domain.document import Heading, ParsedDocument
from ingestion.loaders.characters import clean
from ingestion.loaders.declared import declared
from ingestion.loaders.grid import titles
from ingestion.loaders.title import choose_title

WIDEST_HEADER = 240  # characters; a wider table is written row by row


class Pieces:
    """Blocks separated by blank lines."""

    def __init__(self) -> None:
        self._blocks: list[str] = []
        self._headings: list[Heading] = []
        self._pages: list[int] = []
        self._length = 0

    def page(self) -> None:
        """A page begins here."""
        self._pages.append(self._length)

    def heading(self, level: int, title: str) -> None:
        """A heading; an empty one is left out."""
        title = " ".join(clean(title).split())
        if title:
            self._headings.append(Heading(level, title, self._length))
            self._add(f"{'#' * level} {title}")

    def block(self, text: str) -> None:
        """A paragraph, a list, a piece of code; an empty one is left out."""
        text = clean(text).strip("\n")
        if text.strip():
            self._add(text)

    def table(self, rows: Iterable[Sequence[str]]) -> None:
        """A table whose first row is its header, below its titles; `with_headers` cuts a long one."""
        table = [[_cell(cell) for cell in row] for row in rows]
        above = titles(table)
        for row in table[:above]:
            self.block("".join(row))
        table = [row for row in table[above:] if any(row)]
        if not table:
            return
        width = max(len(row) for row in table)
        header, *body = [row + [""] * (width - len(row)) for row in table]
        if not body:
            self.block(" | ".join(filter(None, header)))
        elif len(" | ".join(header)) > WIDEST_HEADER:
            for row in body:
                pairs = zip(header, row, strict=True)
                self.block("\n".join(f"{name}: {cell}" if name else cell for name, cell in pairs if cell))
        else:
            self.block("\n".join(map(_line, [header, ["---"] * width, *body])))

    def document(self, name: str, media_type: str, title: str = "", **metadata: object) -> ParsedDocument:
        """The whole; `title` is what the file declares, metadata without a value is left out."""
        text = "\n\n".join(self._blocks) + "\n" if self._blocks else ""
        headings = tuple(self._headings)
        return ParsedDocument(
            text=text,
            title=choose_title(text, headings, clean(title), name),
            media_type=media_type,
            headings=headings,
            page_starts=tuple(self._pages),
            metadata=declared(**metadata),
        )

    def join(self, document: ParsedDocument, *, below: int = 0) -> None:
        """The text of another document, its headings `below` levels deeper."""
        for heading in document.headings:
            level = min(6, heading.level + below)
            self._headings.append(Heading(level, heading.title, self._length + heading.char_start))
        if document.text.strip():
            self._add(document.text.rstrip("\n"))

    def _add(self, text: str) -> None:
        self._blocks.append(text)
        self._length += len(text) + 2


class Item(NamedTuple):
    """A line of a list."""

    depth: int
    text: str
    marker: str = "-"


def listed(items: Iterable[Item]) -> str:
    """Items as a list; one alone stays a line unless it has a number, empty ones are left out."""
    said = [item for item in items if item.text]
    if len(said) == 1 and said[0].marker == "-":
        return said[0].text
    return "\n".join(f"{'  ' * item.depth}{item.marker} {item.text}" for item in said)


def trimmed(rows: list[list[str]]) -> list[list[str]]:
    """Without the columns that are empty everywhere."""
    width = max(len(row) for row in rows)
    kept = [at for at in range(width) if any(at < len(row) and row[at] for row in rows)]
    return [[row[at] if at < len(row) else "" for at in kept] for row in rows]


def _cell(value: str) -> str:
    return " ".join(clean(value).replace("|", "\\|").split())


def _line(row: Sequence[str]) -> str:
    return f"| {' | '.join(row)} |"
