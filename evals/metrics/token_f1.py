"""Token F1: how many words the answer shares with the gold answer that it is nearest to (Rajpurkar et al. 2016)."""

from collections import Counter
from collections.abc import Sequence

from evals.metrics.exact_match import answer_words


def token_f1(answer: str, gold: Sequence[str]) -> float | None:
    """The harmonic mean of precision and recall over words, 0..1; None without a gold answer."""
    return max((_f1(answer_words(answer), answer_words(each)) for each in gold), default=None)


def _f1(words: Sequence[str], gold: Sequence[str]) -> float:
    shared = (Counter(words) & Counter(gold)).total()
    return 2 * shared / (len(words) + len(gold)) if words or gold else 1.0
