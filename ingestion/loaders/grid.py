"""Grid: the cells of a table in their columns, those that span several too."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple


class Cell(NamedTuple):
    """A cell's text, and how many columns and rows it spans."""

    text: str
    across: int = 1
    down: int = 1


def spread(rows: Iterable[Iterable[Cell]]) -> Iterator[list[str]]:
    """The texts of the rows that say something: a cell that spans rows says it in each, one that spans columns once."""
    reaching: dict[int, Cell] = {}  # by column: a cell from above, with the rows that it has still to come
    for row in rows:
        texts, own = list[str](), False
        for cell in row:
            _reach(reaching, texts)
            own = own or bool(cell.text)
            for text in [cell.text] + [""] * (cell.across - 1):
                _place(reaching, texts, Cell(text, down=cell.down))
        for column in sorted(column for column in reaching if column >= len(texts)):
            texts += [""] * (column - len(texts))
            _reach(reaching, texts)
        if own:
            yield texts


class Merged(NamedTuple):
    """A cell that spans rows: its column, its row and its last row, all from 0 on."""

    column: int
    top: int
    bottom: int


def titles(rows: Sequence[Sequence[str]]) -> int:
    """How many rows at the top are titles of the table, or empty, and not yet its header.

    A title stands alone in the first of three columns or more, or of two when an empty row follows.
    """
    width = max((at for row in rows for at, text in enumerate(row, start=1) if text), default=0)
    for at, row in enumerate(rows if width > 1 else ()):
        alone = bool(row) and bool(row[0]) and not any(row[1:])
        apart = width > 2 or not any(map(any, rows[at + 1 : at + 2]))
        if any(row) and not (alone and apart):
            return at
    return 0


def repeat(rows: Sequence[list[str]], merged: Iterable[Merged]) -> None:
    """Write what cells that span rows say into each of these rows that says something."""
    own = [any(row) for row in rows]
    for cell in merged:
        text = rows[cell.top][cell.column] if cell.top < len(rows) and cell.column < len(rows[cell.top]) else ""
        for at in range(cell.top + 1, min(cell.bottom + 1, len(rows))) if text else ():
            if own[at]:
                rows[at] += [""] * (cell.column + 1 - len(rows[at]))
                rows[at][cell.column] = text


def _reach(reaching: dict[int, Cell], texts: list[str]) -> None:
    """Add to a row the cells from above that come next in it."""
    while len(texts) in reaching:
        _place(reaching, texts, reaching.pop(len(texts)))


def _place(reaching: dict[int, Cell], texts: list[str], cell: Cell) -> None:
    if cell.down > 1:
        reaching[len(texts)] = Cell(cell.text, down=cell.down - 1)
    texts.append(cell.text)
