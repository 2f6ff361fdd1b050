"""Export: answers of a report in the form that other evaluation tools read."""

from typing import Any

from app.domain.errors import InvalidInput
from evals.report import Report


def ragas_rows(report: Report) -> list[dict[str, Any]]:
    """Ragas' single-turn samples: `user_input`, `response`, `retrieved_contexts`, and `reference` where there is one.

    What was refused or failed, or was asked back without a look at any passage, has no answer to evaluate and is left
    out. A question that has a history stands at its end. Raises InvalidInput when nothing is left, or the report is of
    another suite than `qa:`.
    """
    kept = report["per_query"].values()
    if not all("answer" in each for each in kept):
        raise InvalidInput(f"The report of {report.get('suite')} has no answers; export one of the suite qa:.")
    rows = [_row(each) for each in kept if each["passages"] and not each["refused"] and not each["failure"]]
    if not rows:
        raise InvalidInput(f"No question of {report['suite']} was answered; there is nothing to export.")
    return rows


def _row(kept: dict[str, Any]) -> dict[str, Any]:
    row = {
        "user_input": _said(kept),
        "response": kept["answer"],
        "retrieved_contexts": [passage["text"] for passage in kept["passages"]],
    }
    return row | ({"reference": "\n".join(kept["gold"])} if kept["gold"] else {})


def _said(kept: dict[str, Any]) -> str:
    """The question, after what was said before it."""
    earlier = kept.get("history") or []
    if not earlier:
        return str(kept["question"])
    return "\n".join([*(f"{each['role']}: {each['content']}" for each in earlier), f"user: {kept['question']}"])
