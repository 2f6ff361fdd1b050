"""Tables: printed so that nothing in them is cut off."""

import sys

from rich.console import Console
from rich.table import Table

WITHOUT_TERMINAL = 200
"""Columns of a pipe or a log, which know no width of their own."""


def print_table(table: Table) -> None:
    """On standard output; a cell that is wider than its column goes on in the next line."""
    for column in table.columns:
        column.overflow = "fold"
    Console(width=None if sys.stdout.isatty() else WITHOUT_TERMINAL).print(table)
