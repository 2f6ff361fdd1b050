"""Paired statistics: two runs over the same questions, question by question.

Those that draw take the differences (head minus base), shape (questions,), and draw the same for the same differences.
With one seed for all of them the signs drawn would be the same ones each time, and what they get wrong too.
"""

from itertools import product
from math import ceil, comb, log2, sqrt
from statistics import NormalDist
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Differences = NDArray[np.float64]
RESAMPLES = 10_000
EXACT_BELOW = 13  # questions, with which every assignment of signs is tried
_CHUNK = 1000  # resamples at a time, which bounds memory
_TIE = 1e-12


def bootstrap_interval(
    differences: Differences, *, confidence: float = 0.95, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Percentile interval of the mean by the paired bootstrap (Efron and Tibshirani 1993, section 13.3)."""
    chance, size = _chance(differences), len(differences)
    means = [
        differences[chance.integers(0, size, (min(_CHUNK, resamples - done), size))].mean(axis=1)
        for done in range(0, resamples, _CHUNK)
    ]
    low, high = np.quantile(np.concatenate(means), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def permutation_p(differences: Differences, *, resamples: int = RESAMPLES) -> float:
    """Two-sided p of "which run is which does not matter": the share of sign assignments with a mean as far from 0.

    Exact with few questions; else of random assignments, the observed one counted in (Phipson and Smyth 2010).
    """
    observed, size = abs(differences.sum()) - _TIE, len(differences)
    if size < EXACT_BELOW:
        signs = np.array(list(product((-1.0, 1.0), repeat=size)))
        return float((abs(signs @ differences) >= observed).mean())
    chance, extreme = _chance(differences), 0
    for done in range(0, resamples, _CHUNK):
        rows = min(_CHUNK, resamples - done)
        signs = chance.integers(0, 2, (rows, size), dtype=np.int8) * 2.0 - 1.0
        extreme += int((abs(signs @ differences) >= observed).sum())
    return (1 + extreme) / (1 + resamples)


def _chance(differences: Differences) -> np.random.Generator:
    return np.random.default_rng(crc32(np.ascontiguousarray(differences, np.float64).tobytes()))


def sign_test_p(wins: int, losses: int) -> float:
    """Two-sided p of "a win is as likely as a loss", exact; ties do not count (Conover 1999, section 3.4)."""
    total = wins + losses
    tail = sum(comb(total, count) for count in range(min(wins, losses) + 1))
    return min(1.0, 2 * tail / (1 << total))


def wilson_interval(successes: int, trials: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a share that holds near 0 and 1 too (Wilson 1927); `trials` is at least 1."""
    z, share = _NORMAL.inv_cdf((1 + confidence) / 2), successes / trials
    centre = share + z**2 / (2 * trials)
    spread = z * sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    low, high = ((centre + sign * spread) / (1 + z**2 / trials) for sign in (-1, 1))
    return max(0.0, low), min(1.0, high)


def holm(p_values: dict[str, float]) -> dict[str, float]:
    """Adjusted p values that hold for all of them together (Holm 1979)."""
    adjusted, highest = {}, 0.0
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        highest = max(highest, min(1.0, p * (len(p_values) - rank)))
        adjusted[name] = highest
    return {name: adjusted[name] for name in p_values}


def expected_deviation(differences: Differences, effect: float, span: float) -> float:
    """The standard deviation that the differences would have with a mean `effect`, at least.

    Theirs is too small where hardly a question changed: an effect that comes from a few questions changing much has a
    deviation of its own. A change is taken to be as large as those seen (weighted by size), or `span` without any.
    """
    own = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    moved = float(abs(differences).sum())
    change = float((differences**2).sum()) / moved if moved else span
    return max(own, sqrt(max(0.0, effect * (change - effect))))


def fewest_questions(alpha: float) -> int:
    """With fewer no test reaches `alpha`: of 2ⁿ ways to set signs, two are as extreme as all of one sign."""
    return ceil(log2(2 / alpha))


def power(differences: Differences, effect: float, *, alpha: float, span: float = 1.0) -> float:
    """Probability that a true mean difference of `effect` is found at level `alpha`, by the normal approximation."""
    if len(differences) < fewest_questions(alpha):
        return 0.0
    deviation = expected_deviation(differences, effect, span)
    if deviation == 0:
        return 1.0
    shift = effect * len(differences) ** 0.5 / deviation
    critical = _NORMAL.inv_cdf(1 - alpha / 2)
    return _NORMAL.cdf(shift - critical) + _NORMAL.cdf(-shift - critical)


def questions_needed(differences: Differences, effect: float, *, alpha: float, wanted: float, span: float = 1.0) -> int:
    """How many questions give `power` of `wanted`, when they scatter as these do."""
    deviation = expected_deviation(differences, effect, span)
    quantiles = _NORMAL.inv_cdf(1 - alpha / 2) + _NORMAL.inv_cdf(wanted)
    return max(fewest_questions(alpha), ceil((quantiles * deviation / effect) ** 2))


_NORMAL = NormalDist()
