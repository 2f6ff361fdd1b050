"""Page: a result, and how it compares with a baseline, as one HTML file without scripts or outside parts."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from evals.gate import Comparison, Decision
from evals.gate_report import outcome
from evals.page.charts import histogram, scatter, slopes
from evals.page.examples import example
from evals.page.words import number, signed
from evals.policy import Policy
from evals.report import Report

EXAMPLES = 8
_STYLE = Path(__file__).with_name("page.css")
# nothing that a model or a document says can load anything
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def render_page(head: Report, policy: Policy, base: Report | None = None, decision: Decision | None = None) -> str:
    """The page; `decision` is what the gate says of `head` against `base`, both or none given."""
    parts = [_header(head, base, decision)]
    if decision is not None:
        parts.append(_verdicts(decision))
    parts.append(_distributions(head, base))
    if base is not None and decision is not None:
        parts.append(_moves(head, base, decision, policy))
    parts.append(_examples(head, policy, base, decision))
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(head['suite'])}</title><style>{_STYLE.read_text(encoding='utf-8')}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def values(report: Report, name: str) -> dict[str, float]:
    """A metric by question, for those that have one."""
    kept = report["per_query"].items()
    return {question: float(each[name]) for question, each in kept if isinstance(each.get(name), int | float)}


def _header(head: Report, base: Report | None, decision: Decision | None) -> str:
    against = "" if base is None else f", against {escape(str(base.get('leg')))}"
    failed = f" · {head['failed']} failed" if head.get("failed") else ""
    lines = (
        f"<h1>{escape(head['suite'])}</h1><p class='quiet'>{escape(str(head.get('leg')))}{against} · "
        f"{len(head['per_query'])} questions · {head.get('corpus', {}).get('documents', '?')} documents{failed}</p>"
    )
    if decision is None:
        return lines
    kind = "open" if decision.passed else "shut"
    changed = "".join(
        f"<li>{escape(name)}: {escape(str(before))} → {escape(str(after))}</li>"
        for name, (before, after) in decision.changed.items()
    )
    settings = f"<h2>Settings that differ</h2><ul class='gold'>{changed}</ul>" if changed else ""
    return f"{lines}<p class='outcome {kind}'>{escape(outcome(decision))}</p>{settings}"


def _verdicts(decision: Decision) -> str:
    rows = "".join(_verdict(each) for each in decision.comparisons)
    names = ("measure", "verdict", "difference", "95 % interval", "p (Holm)", "power", "baseline", "head", "n")
    head = "".join(f"<th>{name}</th>" for name in names)
    return (
        f"<h2>Verdicts</h2><div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _verdict(each: Comparison) -> str:
    low, high = each.interval
    verdict = each.verdict + ("" if each.gates else " (not gating)")
    if each.verdict == "underpowered":
        verdict += f": {each.needed:,} needed"
    cells = (
        signed(each.difference),
        f"{signed(low)} to {signed(high)}",
        f"{each.p:.3f}" if each.p >= 0.001 else "&lt; 0.001",
        f"{each.power:.2f}",
        number(each.base),
        number(each.head),
        str(each.questions),
    )
    rest = "".join(f"<td>{cell}</td>" for cell in cells)
    kind = each.verdict if each.gates else "quiet"
    return f"<tr><td>{escape(each.measure)}</td><td class='{kind}'>{verdict}</td>{rest}</tr>"


def _distributions(head: Report, base: Report | None) -> str:
    cards = "".join(_distribution(name, mean, head, base) for name, mean in head["metrics"].items())
    key = "" if base is None else "<p class='key'><b></b>head<b class='base'></b>baseline</p>"
    return f"<h2>Distributions</h2>{key}<div class='cards'>{cards}</div>"


def _distribution(name: str, mean: float, head: Report, base: Report | None) -> str:
    measured = list(values(head, name).values())
    if not measured:
        return ""
    before = list(values(base, name).values()) if base is not None else None
    was = f"<small>baseline {number(sum(before) / len(before))}</small>" if before else ""
    partial = "" if len(measured) == len(head["per_query"]) else f"<p class='quiet'>{len(measured)} questions</p>"
    return (
        f"<div class='card'><h3>{escape(name)}</h3><div class='figure'>{number(mean)} {was}</div>{partial}"
        f"{histogram(measured, before)}</div>"
    )


def _moves(head: Report, base: Report, decision: Decision, policy: Policy) -> str:
    cards = "".join(
        _move(each, head, base, higher_is_better=policy.measures[each.measure].higher_is_better)
        for each in decision.comparisons
        if each.gates and each.movers
    )
    return f"<h2>Question by question</h2><div class='pair'>{cards}</div>" if cards else ""


def _move(each: Comparison, head: Report, base: Report, *, higher_is_better: bool) -> str:
    before, after = values(base, each.measure), values(head, each.measure)
    pairs = [(question, before[question], after[question]) for question in before if question in after]
    moved = sorted((pair for pair in pairs if pair[1] != pair[2]), key=lambda pair: -abs(pair[2] - pair[1]))[:10]
    named = [(str(head["per_query"][question].get("question", question)), b, h) for question, b, h in moved]
    up = sum(h > b for _, b, h in pairs)
    down = sum(h < b for _, b, h in pairs)
    return (
        f"<div class='card'><h3>{escape(each.measure)}</h3><p class='quiet'>{up} up, {down} down, "
        f"{len(pairs) - up - down} unchanged</p><div class='squared'>"
        f"{scatter(pairs, higher_is_better=higher_is_better)}</div><h4>Moved most</h4><div class='sloped'>"
        f"{slopes(named, higher_is_better=higher_is_better)}</div></div>"
    )


def _examples(head: Report, policy: Policy, base: Report | None, decision: Decision | None) -> str:
    metric = _telling(head, policy, decision)
    if metric is None:
        return ""
    sign = 1 if metric not in policy.measures or policy.measures[metric].higher_is_better else -1
    after = values(head, metric)
    before = values(base, metric) if base is not None else {}
    kept: Mapping[str, Any] = head["per_query"]
    worst = sorted(after, key=lambda each: (sign * (after[each] - before.get(each, 0.0)), each))[:EXAMPLES]
    shown = "".join(
        example(each, kept[each], base["per_query"].get(each) if base is not None else None, metric) for each in worst
    )
    what = f"lost most {escape(metric)}" if base is not None else f"have the worst {escape(metric)}"
    return f"<h2>Worst examples</h2><p class='quiet'>The questions that {what}.</p><div class='examples'>{shown}</div>"


def _telling(head: Report, policy: Policy, decision: Decision | None) -> str | None:
    """The metric whose worst questions are shown: one that is worse, or else the policy's first that gates."""
    worse = [each.measure for each in decision.comparisons if each.verdict == "worse"] if decision else []
    gating = [name for name, measure in policy.measures.items() if measure.gates and values(head, name)]
    return next(iter([*worse, *gating, *(name for name in head["metrics"] if values(head, name))]), None)
