"""BM25, exactly: every chunk scored with numpy, from the lexemes that PostgreSQL makes of its text.

Robertson, Zaragoza, The Probabilistic Relevance Framework, 2009, eq. 3.15, with Lucene's idf:
    Σ ln(1 + (N - n + .5) / (n + .5)) · tf · (k1 + 1) / (tf + k1 · (1 - b + b · length / average))
Written apart from the search that it checks: no hashes, no impacts, no candidates.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Frequencies = Mapping[str, int]
"""How often each lexeme stands in a text."""


class ExactBm25:
    """Scores of all chunks; built once, from their lexemes in order."""

    def __init__(
        self, chunks: Iterable[tuple[Sequence[str], Sequence[int]]], *, k1: float = 1.2, b: float = 0.75
    ) -> None:
        """Each chunk as its distinct lexemes and, beside them, their frequencies."""
        numbers: dict[str, int] = {}
        terms: list[NDArray[np.int32]] = []
        counts: list[NDArray[np.int32]] = []
        for lexemes, frequencies in chunks:
            terms.append(np.array([numbers.setdefault(lexeme, len(numbers)) for lexeme in lexemes], np.int32))
            counts.append(np.array(frequencies, np.int32))
        self._numbers, self._k1 = numbers, k1
        lengths = np.array([count.sum() for count in counts], np.float64)
        self.chunks = len(lengths)
        self._norm = k1 * (1 - b + b * lengths / max(lengths.mean(), 1e-9)) if self.chunks else lengths
        order = np.concatenate(terms) if terms else np.empty(0, np.int32)
        owners = np.repeat(np.arange(self.chunks, dtype=np.int32), [len(term) for term in terms])
        by_term = np.argsort(order, kind="stable")
        self._owners = owners[by_term]
        self._frequencies = (np.concatenate(counts) if counts else np.empty(0, np.int32))[by_term]
        self._starts = np.searchsorted(order[by_term], np.arange(len(numbers) + 1))

    def scores(self, query: Frequencies) -> NDArray[np.float64]:
        """One score for each chunk, 0 where no lexeme of the query stands."""
        total = np.zeros(self.chunks)
        for lexeme, repeated in query.items():
            number = self._numbers.get(lexeme)
            if number is None:
                continue
            own = slice(self._starts[number], self._starts[number + 1])
            chunks, frequency = self._owners[own], self._frequencies[own]
            idf = np.log(1 + (self.chunks - len(chunks) + 0.5) / (len(chunks) + 0.5))
            total[chunks] += repeated * idf * frequency * (self._k1 + 1) / (frequency + self._norm[chunks])
        return total


def overlap(scores: NDArray[np.float64], found: Sequence[int], top: int = 10) -> float:
    """The share of the best `top` chunks that were found among the first `top`; a tie with the last is as good as it.

    1 when no chunk has a score. `found` are chunks by their place, best first.
    """
    wanted = min(top, int((scores > 0).sum()))
    if wanted == 0:
        return 1.0
    least = np.partition(scores, -wanted)[-wanted]
    hits = sum(bool(scores[chunk] >= least - 1e-6 * max(1.0, float(least))) for chunk in set(found[:top]))
    return min(hits, wanted) / wanted
