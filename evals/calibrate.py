"""Calibrate: a judge beside people's labels, before its verdicts may count."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from app.domain.errors import InvalidInput
from app.tables import print_table
from evals.agreement import bias, kappa, kappa_interval
from evals.datasets.jsonl import fingerprint_of, read_records
from evals.judge import VERDICTS, Case, Judge, Judgement
from evals.progress import Progress
from evals.report import Report, print_report

NONE = "undecided"


class Labelled(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An answer, and which verdict is right for it."""

    id: str = msgspec.field(name="_id")
    question: str
    reference: str
    answer: str
    label: str


def load_labels(path: Path) -> list[Labelled]:
    """Lines of `_id`, `question`, `reference`, `answer` and `label`. Raises InvalidInput naming file and line."""
    found = []
    for number, _, record in read_records(path):
        try:
            labelled = msgspec.convert(record, Labelled)
        except msgspec.ValidationError as error:
            raise InvalidInput(f"{path}:{number}: {error}.") from error
        if labelled.label not in VERDICTS:
            raise InvalidInput(f"{path}:{number}: the label is {labelled.label}; it is one of {', '.join(VERDICTS)}.")
        found.append(labelled)
    return found


async def run_calibration(judge: Judge, path: Path, progress: Progress, *, limit: int | None = None) -> Report:
    """Judge every labelled answer; how often and how far beyond chance the judge agrees, and where it leans.

    Raises InvalidInput, ProviderError.
    """
    cases = list(islice(load_labels(path), limit))
    task, judged = progress.start(f"judging {path.stem}", len(cases)), list[Judgement]()
    for case in cases:
        judged.append(await judge.judge(Case(case.question, case.reference, case.answer)))
        progress.advance(task)
    labels, verdicts = [case.label for case in cases], [each.verdict for each in judged]
    right = [one == other for one, other in zip(labels, verdicts, strict=True)]
    return {
        "suite": f"judge:{path.stem}",
        "fingerprint": fingerprint_of([msgspec.to_builtins(case) for case in cases]),
        "leg": str(judge.about["model"]),
        "judge": judge.about,
        "queries": len(cases),
        "metrics": {
            "accuracy": sum(right) / len(cases),
            "kappa": kappa(labels, verdicts),
            "agreement": sum(each.agreement for each in judged) / len(cases),
            "quoted": sum(bool(each.quote) for each in judged) / len(cases),
            NONE: sum(verdict is None for verdict in verdicts) / len(cases),
        },
        "kappa_interval": await asyncio.to_thread(kappa_interval, labels, verdicts),
        "bias": bias(labels, verdicts),
        "confusion": _confusion(labels, verdicts),
        "per_query": {
            case.id: {"label": case.label, "verdict": each.verdict, "agreement": each.agreement, "quote": each.quote}
            for case, each in zip(cases, judged, strict=True)
        },
    }


def print_calibration(report: Report) -> None:
    """The figures, the confusions, and where it leans."""
    print_report(report)
    names = [*VERDICTS, NONE]
    table = Table("label", *names, "share, verdicts − labels", title="verdicts by label")
    for label, said in report["confusion"].items():
        leaning = report["bias"][label]
        table.add_row(label, *(str(said.get(name, 0)) for name in names), f"{leaning:+.3f}")
    print_table(table)
    low, high = report["kappa_interval"]
    Console().print(f"kappa {report['metrics']['kappa']:.3f} (95 % interval {low:.3f} to {high:.3f})", highlight=False)


def _confusion(labels: Sequence[str], verdicts: Sequence[str | None]) -> dict[str, dict[str, int]]:
    pairs = Counter(zip(labels, (verdict or NONE for verdict in verdicts), strict=True))
    return {label: {name: pairs[label, name] for name in [*VERDICTS, NONE]} for label in sorted(set(labels))}
