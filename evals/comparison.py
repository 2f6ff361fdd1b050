"""Comparison: the answers of two reports side by side, question by question, by a judge."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.domain.errors import InvalidInput
from app.tables import print_table
from evals.gate import require_comparable
from evals.paired import sign_test_p, wilson_interval
from evals.preference import Comparer, Outcome, Pair, Preference
from evals.progress import Progress
from evals.report import Report

SHOWN_CHARS = 160
_LEFT_OUT = {
    "no reference": "the suite has no answer to compare by",
    "refused": "one of the two refused",
    "failed": "one of the two failed",
}
Kept = Mapping[str, Any]


async def run_comparison(base: Report, head: Report, comparer: Comparer, progress: Progress) -> Report:
    """Compare what both answered; a preference counts when it does not depend on which answer stands first.

    Raises InvalidInput (not the same questions about the same documents, no answers in them), ProviderError.
    """
    require_comparable(base, head)
    if not all("answer" in kept for report in (base, head) for kept in report["per_query"].values()):
        raise InvalidInput(f"The reports of {base['suite']} have no answers; answers are compared of the suite qa:.")
    pairs: dict[str, Pair] = {}
    left_out = Counter[str]()
    for question, before in base["per_query"].items():
        after = head["per_query"][question]
        if reason := _unfit(before, after):
            left_out[reason] += 1
        else:
            pairs[question] = Pair(
                before["question"], "\n".join(before["gold"]), str(before["answer"]), str(after["answer"])
            )
    if not pairs:
        why = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise InvalidInput(
            f"No question of {base['suite']} was answered in both reports and has a gold answer ({why})."
        )
    task, found = progress.start("comparing answers", len(pairs)), dict[str, Preference]()
    for question, pair in pairs.items():
        found[question] = await comparer.compare(pair)
        progress.advance(task)
    return {
        "suite": base["suite"],
        "fingerprint": base["fingerprint"],
        "corpus": base.get("corpus"),
        "judge": comparer.about,
        "base": base.get("leg"),
        "head": head.get("leg"),
        "queries": len(pairs),
        "left_out": dict(left_out),
        **_figures(list(found.values())),
        "per_query": {question: _shown(pairs[question], preference) for question, preference in found.items()},
    }


def print_comparison(report: Report) -> None:
    """The figures, and each question on which both orders agreed or the place decided."""
    console = Console(soft_wrap=True)
    title = f"{report['suite']}, {report['head']} against {report['base']}, {report['queries']} questions"
    table = Table("measure", "value", title=escape(title))
    for name in ("wins", "losses", "ties"):
        table.add_row(name, str(report[name]))
    table.add_row("of the ties swayed by position", f"{report['swayed']} ({report['position_bias']:.1%} of all)")
    by_place = report["swayed_to"]
    table.add_row("to the answer shown first, second", f"{by_place['first']}, {by_place['second']}")
    table.add_row("of the ties undecided", str(report["undecided"]))
    if report["win_rate"] is not None:
        low, high = report["interval"]
        table.add_row(
            "win rate of what was decided", f"{report['win_rate']:.3f} (95 % interval {low:.3f} to {high:.3f})"
        )
    table.add_row("p (sign test, two-sided)", f"{report['p']:.4f}")
    for reason, count in report["left_out"].items():
        table.add_row(f"left out: {_LEFT_OUT[reason]}", str(count))
    print_table(table)
    for question, kept in report["per_query"].items():
        if kept["outcome"] != "tie":
            quotes = " | ".join(f"“{quote[:SHOWN_CHARS]}”" for quote in kept["quotes"])
            console.print(f"  {question}: {kept['outcome']}  {quotes}".rstrip(), highlight=False, markup=False)


def _unfit(before: Kept, after: Kept) -> str | None:
    """Why a question is not compared."""
    if before["failure"] or after["failure"] or not (before["answer"] and after["answer"]):
        return "failed"
    if before["refused"] or after["refused"]:
        return "refused"
    return None if before["gold"] else "no reference"


def _figures(found: list[Preference]) -> dict[str, Any]:
    """Of the head. Ties are all that is neither a win nor a loss; the win rate is that of wins and losses alone."""
    outcomes = Counter[Outcome](preference.outcome for preference in found)
    wins, losses = outcomes["win"], outcomes["loss"]
    decided = wins + losses
    swayed = Counter(preference.said for preference in found if preference.outcome == "swayed")
    return {
        "wins": wins,
        "losses": losses,
        "ties": len(found) - decided,
        "swayed": outcomes["swayed"],
        "undecided": outcomes["undecided"],
        "position_bias": outcomes["swayed"] / len(found),
        "swayed_to": {place: swayed[f"{place}_better", f"{place}_better"] for place in ("first", "second")},
        "win_rate": wins / decided if decided else None,
        "interval": wilson_interval(wins, decided) if decided else None,
        "p": sign_test_p(wins, losses),
        "agreement": sum(preference.agreement for preference in found) / len(found),
    }


def _shown(pair: Pair, preference: Preference) -> dict[str, Any]:
    """What a reader of the report wants to see of a question."""
    return {
        "question": pair.question,
        "reference": pair.reference,
        "base": pair.base,
        "head": pair.head,
        "outcome": preference.outcome,
        "said": {"base first": preference.said[0], "head first": preference.said[1]},
        "agreement": preference.agreement,
        "quotes": list(preference.quotes),
    }
