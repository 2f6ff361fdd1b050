"""Report: what a suite measured, as JSON and as a table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from app.domain.errors import InvalidInput

Report = dict[str, Any]


def write_report(report: Report, path: Path) -> None:
    """As JSON, to a file. Raises InvalidInput when it cannot be written."""
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    except OSError as error:
        raise InvalidInput(f"{path}: the report cannot be written ({error.strerror}).") from error


def print_report(report: Report) -> None:
    """The figures without the queries."""
    table = Table("measure", "value", title=f"{report['suite']} · {report['leg']} · {report['queries']} queries")
    for section, unit in (("metrics", ""), ("exact_search", " (exact search)"), ("latency_ms", " ms")):
        _add(table, report.get(section) or {}, unit)
    Console().print(table)


def _add(table: Table, figures: Mapping[str, Any], unit: str) -> None:
    for name, value in figures.items():
        table.add_row(name + unit, f"{value:.2f}" if unit == " ms" else f"{value:.4f}")
