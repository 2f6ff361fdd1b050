"""Charts: inline SVG of what was measured; colours are the page's, by class."""

from collections import Counter
from collections.abc import Sequence
from html import escape
from math import sqrt

from evals.page.words import number

Values = Sequence[float]
_BINS = 20


def histogram(head: Values, base: Values | None) -> str:
    """How the questions' values are distributed: bars of the head, the baseline as an outline."""
    low, span = _scale([*head, *(base or ())])
    shares = [_shares(values, low, span) for values in (head, base) if values]
    most = max(max(each) for each in shares)
    width, height, step = 320, 96, 320 / _BINS
    bars = "".join(
        f'<rect x="{i * step + 1:.1f}" y="{height * (1 - share / most):.1f}" width="{step - 2:.1f}" '
        f'height="{height * share / most:.1f}"><title>{share:.0%}</title></rect>'
        for i, share in enumerate(shares[0])
        if share
    )
    outline = ""
    if base:
        points = [(i * step, height * (1 - share / most)) for i, share in enumerate(shares[1])]
        path = " ".join(f"L{x:.1f} {y:.1f} L{x + step:.1f} {y:.1f}" for x, y in points)
        outline = f'<path class="outline" d="M0 {height} {path} L{width} {height}"/>'
    axis = (
        f'<line class="axis" x1="0" y1="{height}" x2="{width}" y2="{height}"/>'
        f'<text x="0" y="{height + 16}">{number(low)}</text>'
        f'<text x="{width}" y="{height + 16}" text-anchor="end">{number(low + span)}</text>'
    )
    return _svg(width, height + 20, "distribution over the questions", f'<g class="bars">{bars}</g>{outline}{axis}')


def _shares(values: Values, low: float, span: float) -> list[float]:
    counts = Counter(min(_BINS - 1, int((value - low) / span * _BINS)) for value in values)
    return [counts[i] / len(values) for i in range(_BINS)]


def scatter(pairs: Sequence[tuple[str, float, float]], *, higher_is_better: bool) -> str:
    """Each question's (id, baseline, head): baseline to the right, head upwards; larger where several coincide."""
    values = [value for _, base, head in pairs for value in (base, head)]
    low, span = _scale(values)
    size, edge = 240, 14
    inner = size - 2 * edge

    def at(value: float) -> float:
        return edge + (value - low) / span * inner

    together: dict[tuple[float, float], list[str]] = {}
    for name, base, head in pairs:
        together.setdefault((base, head), []).append(name)
    dots = "".join(
        f'<circle class="{_kind(base, head, higher_is_better=higher_is_better)}" cx="{at(base):.1f}" '
        f'cy="{size - at(head):.1f}" r="{min(12.0, 2.5 + sqrt(len(names))):.1f}">'
        f"<title>{escape(_some(names))}: {number(base)} → {number(head)}</title></circle>"
        for (base, head), names in together.items()
    )
    frame = (
        f'<line class="axis" x1="{edge}" y1="{size - edge}" x2="{size - edge}" y2="{edge}"/>'
        f'<rect class="frame" x="1" y="1" width="{size - 2}" height="{size - 2}"/>'
        f'<text x="{size / 2}" y="{size + 16}" text-anchor="middle">'
        f"baseline →, head ↑ (both {number(low)} to {number(low + span)})</text>"
    )
    return _svg(size, size + 20, "baseline against head, a dot for each question", frame + dots)


def slopes(movers: Sequence[tuple[str, float, float]], *, higher_is_better: bool) -> str:
    """The questions that moved most, (label, baseline, head), each a line from left to right."""
    values = [value for _, base, head in movers for value in (base, head)]
    low, span = _scale(values)
    height, width, left, right = max(160, 18 * len(movers) + 20), 360, 44, 150

    def at(value: float) -> float:
        return 10 + (1 - (value - low) / span) * (height - 20)

    ordered = sorted(movers, key=lambda each: -each[2])
    places = _apart([at(head) for _, _, head in ordered], 15, height)
    lines = "".join(
        f'<g class="{_kind(base, head, higher_is_better=higher_is_better)}">'
        f'<line x1="{left}" y1="{at(base):.1f}" x2="{right}" y2="{at(head):.1f}"/>'
        f'<circle cx="{left}" cy="{at(base):.1f}" r="3"/><circle cx="{right}" cy="{at(head):.1f}" r="3"/>'
        f'<path class="lead" d="M{right + 5} {at(head):.1f} L{right + 18} {place:.1f}"/>'
        f'<text x="{right + 22}" y="{place + 4:.1f}">{escape(_short(name))}'
        f"<title>{escape(name)}: {number(base)} → {number(head)}</title></text></g>"
        for (name, base, head), place in zip(ordered, places, strict=True)
    )
    axis = (
        f'<text x="0" y="14">{number(low + span)}</text><text x="0" y="{height - 4}">{number(low)}</text>'
        f'<text x="{left}" y="{height + 16}" text-anchor="middle">baseline</text>'
        f'<text x="{right}" y="{height + 16}" text-anchor="middle">head</text>'
    )
    return _svg(width, height + 20, "questions that moved most", f'<g class="slopes">{lines}</g>{axis}')


def _scale(values: Values) -> tuple[float, float]:
    """Where an axis begins and how long it is: 0 to 1 for shares, and from the least to the most otherwise."""
    low, high = min(values), max(values)
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    return low, (high - low) or 1.0


def _apart(places: Sequence[float], gap: float, height: float) -> list[float]:
    """Labels from top to bottom, at least `gap` from each other, the last not below the chart."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + gap) if moved else max(place, 8.0))
    lowest = height - 6.0
    for i in reversed(range(len(moved))):
        moved[i] = min(moved[i], lowest)
        lowest = moved[i] - gap
    return moved


def _kind(base: float, head: float, *, higher_is_better: bool) -> str:
    if head == base:
        return "same"
    return "better" if (head > base) == higher_is_better else "worse"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _short(name: str) -> str:
    return name if len(name) <= 30 else name[:29] + "…"


def _svg(width: float, height: float, label: str, content: str) -> str:
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">{content}</svg>'
