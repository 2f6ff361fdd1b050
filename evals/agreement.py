"""Agreement: how far two judges of the same cases agree beyond chance."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

RESAMPLES = 2_000


def kappa(labels: Sequence[str], verdicts: Sequence[str | None]) -> float:
    """Cohen's kappa (Cohen 1960, "A Coefficient of Agreement for Nominal Scales"); no verdict is a verdict of its own.

    1 is agreement everywhere, 0 what chance gives; 0 too where only one label occurs, which tells nothing.
    """
    size = len(labels)
    observed = sum(one == other for one, other in zip(labels, verdicts, strict=True)) / size
    given, said = Counter(labels), Counter(verdicts)
    expected = sum(given[name] * said[name] for name in given) / size**2
    return (observed - expected) / (1 - expected) if expected < 1 else 0.0


def kappa_interval(labels: Sequence[str], verdicts: Sequence[str | None]) -> tuple[float, float]:
    """95 % of the kappas of as many cases drawn with replacement."""
    chance = np.random.default_rng(0)
    drawn = []
    for _ in range(RESAMPLES):
        at = chance.integers(0, len(labels), len(labels))
        drawn.append(kappa([labels[i] for i in at], [verdicts[i] for i in at]))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def bias(labels: Sequence[str], verdicts: Sequence[str | None]) -> dict[str, float]:
    """For each label by how much its share among the verdicts is larger than among the labels."""
    said = Counter(verdicts)
    return {name: (said[name] - count) / len(labels) for name, count in sorted(Counter(labels).items())}
