"""Tables: figures on the terminal."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from evals.bench.racing import Record

console = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else 170)
DASH = "–"


def number(value: float | None, digits: int = 2) -> str:
    """A figure, or a dash."""
    return DASH if value is None else f"{value:.{digits}f}"


def ratio(record: Record, other: Record) -> str:
    """Median, least and most of the per-round ratios."""
    middle, least, most = record.ratio_to(other)
    return f"{middle:.2f} ({least:.2f} to {most:.2f})"


def print_rows(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """One table; the first column is a name, the others are figures."""
    table = Table(title=title, title_justify="left")
    for place, name in enumerate(head):
        table.add_column(name, justify="right" if place else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)
