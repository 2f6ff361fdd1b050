"""Judge: a language model that says whether an answer agrees with a reference."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.settings import Settings
from evals.judge_model import JudgeModel, majority, open_judge_model, quote_of

VERDICTS = {
    "correct": "the answer says what the reference says, in whatever words",
    "contradicted": "the answer says something that the reference says otherwise",
    "irrelevant": "the answer speaks of something else and does not answer the question",
}


@dataclass(frozen=True, slots=True)
class Case:
    """What is judged: an answer to a question, by a reference that is right."""

    question: str
    reference: str
    answer: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """What most repeats said (None: two verdicts equally often, or none), and which share of them did.

    `quote` are words of the reference, empty when what the model quoted does not stand there.
    """

    verdict: str | None
    agreement: float
    quote: str


class Judge:
    """Judges one answer at a time."""

    def __init__(self, model: JudgeModel) -> None:
        self._model = model

    @property
    def about(self) -> dict[str, object]:
        """For a report: which judge it is."""
        return self._model.about

    async def judge(self, case: Case) -> Judgement:
        """Raises ProviderError."""
        asked = {"question": case.question, "reference": case.reference, "answer": case.answer}
        replies = await self._model.replies(VERDICTS, **asked)
        verdict, agreement = majority(replies)
        return Judgement(verdict, agreement, quote_of(replies, verdict, case.reference) if verdict else "")


@asynccontextmanager
async def open_judge(settings: Settings, model: str, *, repeats: int) -> AsyncIterator[Judge]:
    """A judge by the chat model of this name. Raises as `open_judge_model`."""
    async with open_judge_model(settings, model, "judge", repeats=repeats) as opened:
        yield Judge(opened)
