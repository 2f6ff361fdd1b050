"""Recombined: any number of passages out of a data set's, and its questions.

Beyond the data set a passage is made of half the sentences of one and half of another, drawn by lot, so that words stay
as common as they are and keep some of their company.
"""

import random
import re
from pathlib import Path

from evals.bench.synthetic import CHUNKS_PER_DOCUMENT, SyntheticCorpus
from evals.datasets.beir import load_beir

_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_MADE = 4_000  # synthetic chunks where there is no data set


class Passages:
    """Passages by number, from 0, and questions; the same for the same folder and seed."""

    def __init__(self, folder: Path | None, *, questions: int, seed: int) -> None:
        """Without a folder, out of the synthetic corpus. Raises InvalidInput."""
        self._seed = seed
        chance = random.Random(seed)  # noqa: S311
        if folder is None:
            corpus = SyntheticCorpus(_MADE, seed=seed)
            self._own = [text for n in range(_MADE // CHUNKS_PER_DOCUMENT) for text in corpus.document(n).texts]
            asked = [corpus.question(number)[0] for number in range(questions)]
        else:
            dataset = load_beir(folder)
            self._own = [f"{row.title} {row.text}".strip() for row in dataset.corpus]
            asked = list(dataset.queries.values())
        chance.shuffle(self._own)
        self.questions = chance.sample(asked, min(questions, len(asked)))
        self._sentences = [_SENTENCE.split(text) for text in self._own]

    def text(self, number: int) -> str:
        """The data set's passages come first, in an order drawn by lot."""
        return self._own[number] if number < len(self._own) else self.made(number)

    def made(self, number: int) -> str:
        """A passage of two others."""
        chance = random.Random(f"{self._seed} {number}")  # noqa: S311
        picked = []
        for sentences in chance.sample(self._sentences, 2):
            places = sorted(chance.sample(range(len(sentences)), (len(sentences) + 1) // 2))
            picked += [sentences[place] for place in places]
        return " ".join(picked)
