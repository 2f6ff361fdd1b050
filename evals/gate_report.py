"""Gate report: a decision as a table, as Markdown for a pull request, and as JUnit XML."""

from pathlib import Path
from xml.etree import ElementTree as ET

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.domain.errors import InvalidInput
from app.tables import print_table
from evals.gate import Comparison, Decision
from evals.report import figure

COLOURS = {"better": "green", "same": "dim", "worse": "red", "underpowered": "yellow"}
COLUMNS = ("measure", "n", "base", "head", "difference", "95 % interval", "p (Holm)", "power", "verdict")


def print_decision(decision: Decision) -> None:
    """The table, what changed, and the outcome."""
    console = Console(soft_wrap=True)
    table = Table(*COLUMNS, title=escape(f"{decision.suite}, {decision.questions} questions"))
    for comparison in decision.comparisons:
        *cells, verdict = _cells(comparison)
        table.add_row(*cells, f"[{COLOURS[comparison.verdict]}]{verdict}[/]")
    print_table(table)
    for name, (before, after) in decision.changed.items():
        console.print(f"  {name}: {before} → {after}", highlight=False, markup=False)
    for line in _judging(decision):
        console.print(f"  {line}", highlight=False, markup=False)
    console.print(outcome(decision), highlight=False, markup=False)


def markdown(decision: Decision) -> str:
    """For the summary of a pull request."""
    lines = [
        f"### {outcome(decision)}",
        "",
        f"`{decision.suite}`, {decision.questions} questions",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"|{'---|' * len(COLUMNS)}",
        *(f"| {' | '.join(_cells(comparison))} |" for comparison in decision.comparisons),
    ]
    if decision.changed:
        lines += ["", "Settings that differ: "]
        lines += [f"- `{name}`: `{before}` → `{after}`" for name, (before, after) in decision.changed.items()]
    if judging := _judging(decision):
        lines += ["", *(f"- {line}" for line in judging)]
    moved = [comparison for comparison in decision.comparisons if comparison.movers]
    if moved:
        lines += ["", "<details><summary>Questions that moved most</summary>", ""]
        lines += [
            f"- {comparison.measure}: "
            + ", ".join(f"`{query}` {moved_by:+.3f}" for query, moved_by in comparison.movers)
            for comparison in moved
        ]
        lines += ["", "</details>"]
    return "\n".join(lines) + "\n"


def _judging(decision: Decision) -> list[str]:
    """What does not count and why, and where the judge was of two minds."""
    lines = [f"{measure} does not count: {why}" for measure, why in decision.left_out.items()]
    if decision.flaky:
        lines.append(f"the judge did not agree with itself on {len(decision.flaky)}: {', '.join(decision.flaky)}")
    return lines


def junit(decision: Decision) -> bytes:
    """One test case for each measure; one that stops the change is a failure, one that cannot be told is skipped."""
    failed = sum(comparison.stops for comparison in decision.comparisons)
    suite = ET.Element("testsuite", name=decision.suite, tests=str(len(decision.comparisons)), failures=str(failed))
    for comparison in decision.comparisons:
        case = ET.SubElement(suite, "testcase", classname=decision.suite, name=comparison.measure)
        if comparison.stops:
            ET.SubElement(case, "failure", message=_sentence(comparison))
        elif comparison.verdict == "underpowered":
            ET.SubElement(case, "skipped", message=_sentence(comparison))
        ET.SubElement(case, "system-out").text = _sentence(comparison)
    ET.indent(suite)
    xml: bytes = ET.tostring(suite, encoding="utf-8", xml_declaration=True)
    return xml + b"\n"


def write(path: Path, content: bytes) -> None:
    """Raises InvalidInput when it cannot be written."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be written ({error.strerror}).") from error


def _cells(comparison: Comparison) -> tuple[str, ...]:
    low, high = comparison.interval
    verdict = comparison.verdict + ("" if comparison.gates else " (not gating)")
    if comparison.verdict == "underpowered":
        verdict += f": {comparison.needed} questions needed"
    return (
        comparison.measure,
        str(comparison.questions),
        figure(comparison.base),
        figure(comparison.head),
        figure(comparison.difference, "+"),
        f"{figure(low, '+')} to {figure(high, '+')}",
        f"{comparison.p:.4f}",
        f"{comparison.power:.2f}",
        verdict,
    )


def _sentence(comparison: Comparison) -> str:
    cells = dict(zip(COLUMNS, _cells(comparison), strict=True))
    return (
        f"{comparison.measure} is {cells['verdict']}: {cells['base']} → {cells['head']} "
        f"({cells['difference']}, 95 % interval {cells['95 % interval']}, p {cells['p (Holm)']})"
    )


def outcome(decision: Decision) -> str:
    """One line: open or shut, and why."""
    stopping = [comparison.measure for comparison in decision.comparisons if comparison.stops]
    if stopping:
        return f"The gate is shut: {', '.join(stopping)}"
    unknown = [c.measure for c in decision.comparisons if c.gates and c.verdict == "underpowered"]
    return "The gate is open" + (f"; too few questions to tell for {', '.join(unknown)}" if unknown else "")
