"""Gate: does a change make answers or retrieval worse, better, or can these questions not tell?

Two reports of one suite are compared question by question. Each measure gets a verdict:

    worse, better   the difference is significant (paired permutation test, Holm's correction over gating measures),
                    and its interval is not wholly below what matters
    same            it is not, and a difference that matters would have been found with the wanted power
    underpowered    it is not, but it might not have been found: so many questions would be needed
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from app.domain.errors import InvalidInput
from evals.paired import Differences, bootstrap_interval, holm, permutation_p, power, questions_needed
from evals.policy import Measure, Policy
from evals.report import Report

Verdict = Literal["better", "same", "worse", "underpowered"]
MOVERS = 5
JUDGED = "judged_correct"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measure: means, the mean difference with its 95 % interval, the adjusted p, the power for what matters.

    `questions` have a value in both. `needed`: with how many questions the power would do; `movers` the questions with
    the largest differences.
    """

    measure: str
    questions: int
    base: float
    head: float
    difference: float
    interval: tuple[float, float]
    p: float
    power: float
    needed: int
    verdict: Verdict
    gates: bool
    stops: bool
    movers: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate says of two reports; `changed` are settings that differ, with their values before and after.

    `left_out` are measures that do not count, and why; `flaky` are questions on whose answers the judge did not agree
    with itself.
    """

    suite: str
    questions: int
    comparisons: tuple[Comparison, ...]
    changed: dict[str, tuple[Any, Any]]
    left_out: dict[str, str] = field(default_factory=dict)
    flaky: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing stops the change."""
        return not any(comparison.stops for comparison in self.comparisons)


class _Shape(msgspec.Struct):
    """What is read of every report; that of a comparison is another kind."""

    suite: str
    metrics: dict[str, float]
    per_query: dict[str, dict[str, Any]]


def load_report(path: Path) -> Report:
    """A report of `footnote eval run --json`, or of `footnote eval calibrate --json`. Raises InvalidInput."""
    try:
        report: Report = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise InvalidInput(f"{path}: the report cannot be read ({error.strerror}).") from error
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"{path}: this is not a report of `footnote eval run --json` ({error}).") from error
    if not isinstance(report.get("per_query"), dict) or not report["per_query"]:
        raise InvalidInput(f"{path}: this report has no questions in it (`per_query`).")
    try:
        msgspec.convert(report, _Shape)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{path}: this is not a report of `footnote eval run --json` ({error}).") from error
    return report


def decide(base: Report, head: Report, policy: Policy) -> Decision:
    """Compare two reports. Raises InvalidInput when they are not of the same questions about the same documents."""
    require_comparable(base, head)
    questions = list(base["per_query"])
    measured = {
        name: (_scores(base, questions, name), _scores(head, questions, name))
        for name in policy.measures
        if any(all(_has(report, question, name) for report in (base, head)) for question in questions)
    }
    left_out = {}
    if JUDGED in measured and (unfit := _unfit_judge(base, head, policy)) is not None:
        left_out[JUDGED] = unfit
        del measured[JUDGED]
    if not measured:
        raise InvalidInput(
            f"The reports have none of the policy's measures ({', '.join(policy.measures)}); they have "
            f"{', '.join(base['metrics'])}. Name them in a policy of your own and give it with --policy."
        )
    changed = _changed(base.get("settings", {}), head.get("settings", {}))
    if base.get("leg") != head.get("leg"):
        changed["leg"] = (base.get("leg"), head.get("leg"))
    comparisons = compare(questions, measured, policy)
    flaky = tuple(question for question in questions if _agreement(base, head, question) < 1)
    return Decision(base["suite"], len(questions), comparisons, changed, left_out, flaky)


def _changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Settings that differ. Of a service that was asked at its URL few are known; the others are not called changed."""
    names = before.keys() | after.keys()
    if "url" in names:
        names = (before.keys() & after.keys()) | {"url"}
    return {name: (before.get(name), after.get(name)) for name in sorted(names) if before.get(name) != after.get(name)}


def compare(
    questions: list[str],
    measured: dict[str, tuple[Differences, Differences]],
    policy: Policy,
    *,
    resamples: int = 10_000,
) -> tuple[Comparison, ...]:
    """A verdict for each measure of (base, head), each of shape (questions,), NaN where a question has no value."""
    both = {name: ~np.isnan(head - base) for name, (base, head) in measured.items()}
    differences = {name: (head - base)[both[name]] for name, (base, head) in measured.items()}
    p_values = {name: permutation_p(values, resamples=resamples) for name, values in differences.items()}
    gating = {name: p for name, p in p_values.items() if policy.measures[name].gates}
    adjusted = p_values | holm(gating)
    comparisons = []
    for name, values in differences.items():
        measure = policy.measures[name]
        # what Holm's first step asks of each, so that the power holds whatever the others do
        level = policy.alpha / max(1, len(gating)) if measure.gates else policy.alpha
        base, head = (scores[both[name]] for scores in measured[name])
        asked = [question for question, paired in zip(questions, both[name], strict=True) if paired]
        span = float(max(base.max(), head.max()) - min(base.min(), head.min())) or 1.0
        found = power(values, measure.matters, alpha=level, span=span)
        interval = bootstrap_interval(values, resamples=resamples)
        verdict = _verdict(float(values.mean()), interval, adjusted[name], found, measure, policy)
        stops = measure.gates and (verdict == "worse" or (verdict == "underpowered" and measure.stop_underpowered))
        order = np.argsort(-abs(values), kind="stable")[:MOVERS]
        comparisons.append(
            Comparison(
                name,
                len(asked),
                float(base.mean()),
                float(head.mean()),
                float(values.mean()),
                interval,
                adjusted[name],
                found,
                questions_needed(values, measure.matters, alpha=level, wanted=policy.power, span=span),
                verdict,
                measure.gates,
                stops,
                tuple((asked[at], float(values[at])) for at in order if values[at]),
            )
        )
    return tuple(comparisons)


def _verdict(
    difference: float, interval: tuple[float, float], p: float, found: float, measure: Measure, policy: Policy
) -> Verdict:
    negligible = -measure.matters < interval[0] and interval[1] < measure.matters
    if p <= policy.alpha and difference and not negligible:
        return "better" if (difference > 0) == measure.higher_is_better else "worse"
    return "same" if found >= policy.power else "underpowered"


def require_comparable(base: Report, head: Report) -> None:
    """Raise InvalidInput unless both are of the same questions about the same documents."""
    if base.get("suite") != head.get("suite"):
        raise InvalidInput(f"The reports are of different suites: {base.get('suite')} and {head.get('suite')}.")
    if base.get("fingerprint") != head.get("fingerprint"):
        raise InvalidInput(
            f"The questions of {base['suite']}, or what is right for them, changed between the reports. "
            "Run the baseline again with the present suite."
        )
    marks = [(report.get("corpus") or {}).get("fingerprint") for report in (base, head)]
    if marks[0] != marks[1]:
        raise InvalidInput(
            f"The reports are of different documents or questions: fingerprints {marks[0]} and {marks[1]}. "
            "Run the baseline again on the present ones."
        )
    asked = [set(report["per_query"]) for report in (base, head)]
    if asked[0] != asked[1]:
        raise InvalidInput(
            f"The reports are of different questions: {len(asked[0] - asked[1])} are only in the baseline, "
            f"{len(asked[1] - asked[0])} only in the head. Run both with the same --limit."
        )


def _unfit_judge(base: Report, head: Report, policy: Policy) -> str | None:
    """Why the judge's verdicts do not count."""
    judges = [report.get("judge") or {} for report in (base, head)]
    names = [(judge.get("model"), judge.get("prompt"), judge.get("repeats")) for judge in judges]
    if names[0] != names[1]:
        return f"the judges differ: {names[0]} and {names[1]}"
    kappas = [float(judge["kappa"]) for judge in judges if judge.get("kappa") is not None]
    if len(kappas) < len(judges):
        return "the judge was not compared with people: `footnote eval calibrate`, then --calibration"
    if min(kappas) < policy.judge_kappa:
        return f"the judge's agreement with people is a kappa of {min(kappas):.2f}, below {policy.judge_kappa:g}"
    return None


def _agreement(base: Report, head: Report, question: str) -> float:
    """The smaller of the two shares in which the judge agreed with itself; 1 where it judged neither."""
    found = [report["per_query"][question].get("judge_agreement") for report in (base, head)]
    return min((float(share) for share in found if share is not None), default=1.0)


def _scores(report: Report, questions: list[str], name: str) -> Differences:
    kept = [report["per_query"][question] for question in questions]
    return np.array([float(each[name]) if each.get(name) is not None else np.nan for each in kept])


def _has(report: Report, question: str, name: str) -> bool:
    return report["per_query"][question].get(name) is not None
