"""Exact match: the answer is one of the gold answers, as SQuAD counts it (Rajpurkar et al. 2016)."""

import re
import unicodedata
from collections.abc import Sequence

_ARTICLES = frozenset({"a", "an", "the"})
_FOOTNOTES = re.compile(r"\[\d+\]")


def exact_match(answer: str, gold: Sequence[str]) -> float | None:
    """1 or 0; None without a gold answer."""
    if not gold:
        return None
    return float(any(answer_words(answer) == answer_words(each) for each in gold))


def answer_words(text: str) -> list[str]:
    """Words without case, punctuation, footnote marks and English articles."""
    folded = unicodedata.normalize("NFKC", _FOOTNOTES.sub(" ", text)).casefold()
    kept = "".join(" " if unicodedata.category(each)[0] in "PSZC" else each for each in folded)
    return [word for word in kept.split() if word not in _ARTICLES]
