"""Preference: which of two answers a language model finds better, whichever of them it is shown first."""

from dataclasses import dataclass
from typing import Literal

from evals.judge_model import JudgeModel, majority, quote_of

VERDICTS = {
    "first_better": "the first answer is better than the second",
    "second_better": "the second answer is better than the first",
    "equally_good": "neither is better: both say the same of what the reference says, or both miss it",
}
Outcome = Literal["win", "loss", "tie", "swayed", "undecided"]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to a question, and a reference that is right."""

    question: str
    reference: str
    base: str
    head: str


@dataclass(frozen=True, slots=True)
class Preference:
    """What came of both orders.

    `outcome` is the head's: a `win` or a `loss` when both orders preferred the same answer, a `tie` when both preferred
    none or the answers are the same, `swayed` when the orders differ, `undecided` when one of them gave no verdict.
    `said` are the verdicts with the baseline first, then with the head first; `agreement` is the smaller share of
    repeats that said so; `quotes` are words of the answers, for each order that quoted such.
    """

    outcome: Outcome
    said: tuple[str | None, str | None]
    agreement: float
    quotes: tuple[str, ...] = ()


class Comparer:
    """Compares two answers at a time, in both orders."""

    def __init__(self, model: JudgeModel) -> None:
        self._model = model

    @property
    def about(self) -> dict[str, object]:
        """For a report: which judge it is."""
        return self._model.about

    async def compare(self, pair: Pair) -> Preference:
        """The same words are a tie, and nobody is asked. Raises ProviderError."""
        if pair.base.split() == pair.head.split():
            return Preference("tie", ("equally_good", "equally_good"), 1.0)
        said, shares, quotes = list[str | None](), list[float](), list[str]()
        for first, second in ((pair.base, pair.head), (pair.head, pair.base)):
            asked = {"question": pair.question, "reference": pair.reference, "first": first, "second": second}
            replies = await self._model.replies(VERDICTS, **asked)
            verdict, share = majority(replies)
            said.append(verdict)
            shares.append(share)
            if verdict is not None and (quote := quote_of(replies, verdict, first, second)):
                quotes.append(quote)
        return Preference(_outcome(*said), (said[0], said[1]), min(shares), tuple(dict.fromkeys(quotes)))


def _outcome(base_first: str | None, head_first: str | None) -> Outcome:
    """Of what was said with the baseline first and with the head first."""
    match base_first, head_first:
        case None, _:
            return "undecided"
        case _, None:
            return "undecided"
        case "second_better", "first_better":
            return "win"
        case "first_better", "second_better":
            return "loss"
        case "equally_good", "equally_good":
            return "tie"
        case _:
            return "swayed"
