"""Report: what a suite measured, as JSON and as a table."""

import os
from pathlib import Path
from typing import Any

import msgspec
from rich.markup import escape
from rich.table import Table

from app.domain.errors import InvalidInput
from app.tables import print_table

Report = dict[str, Any]


def write_report(report: Report, path: Path) -> None:
    """As JSON, to a file. Raises InvalidInput when it cannot be written."""
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    except OSError as error:
        raise InvalidInput(f"{path}: the report cannot be written ({error.strerror}).") from error


def require_writable(path: Path | None) -> None:
    """Raise InvalidInput when no report can be written there, before anything that takes long is begun."""
    if path is None:
        return
    if path.is_dir():
        raise InvalidInput(f"{path}: the report cannot be written (it is a folder).")
    if not path.parent.is_dir():
        raise InvalidInput(f"{path}: the report cannot be written (there is no folder {path.parent}).")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InvalidInput(f"{path}: the report cannot be written (no permission).")


def figure(value: float, sign: str = "") -> str:
    """Four decimals, or six where those would say next to nothing, as of a cost; `sign` is "+" for a difference."""
    return f"{value:{sign}.{6 if 0 < abs(value) < 0.001 else 4}f}"


def print_report(report: Report) -> None:
    """The figures without the queries."""
    title = f"{report['suite']}, {report['leg']}, {report['queries']} queries"
    table = Table("measure", "value", title=escape(title))
    for name, value in report["metrics"].items():
        deviation = f" (sd {report['sd'][name]:.4f})" if "sd" in report else ""
        table.add_row(name, f"{figure(value)}{deviation}")
    for name, value in report.get("exact_search", {}).items():
        table.add_row(f"{name}, exact search", f"{value:.4f}")
    for name, value in report.get("latency_ms", {}).items():
        table.add_row(f"{name}, ms", f"{value:.2f}")
    if report.get("failed"):
        table.add_row("failed, questions", str(report["failed"]))
    if report.get("unreviewed"):
        table.add_row("not reviewed, left out", str(report["unreviewed"]))
    if "not_reranked" in report:
        table.add_row("not reranked, queries", str(report["not_reranked"]))
    print_table(table)
