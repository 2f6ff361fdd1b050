"""Answers: the suite `qa:`, questions about a collection to a service, here or behind a URL."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any, cast

from app.domain.errors import FootnoteError, InvalidInput
from app.domain.prices import Prices
from app.domain.run import RunCompleted, TextDelta
from app.services.outcome import AnswerSoFar
from evals.datasets.jsonl import fingerprint_of
from evals.datasets.questions import AskedQuestion, load_questions
from evals.gold import gold_places
from evals.judge import Case, Judge, Judgement
from evals.metrics.cost import cost
from evals.metrics.exact_match import exact_match
from evals.metrics.places import Place, place_precision, place_recall
from evals.metrics.refusal import answer_rate, refusal_precision, refusal_recall
from evals.metrics.support import support_rate
from evals.metrics.token_f1 import token_f1
from evals.progress import Progress
from evals.report import Report
from evals.service import Service


@dataclass(frozen=True, slots=True)
class AnswerSuite:
    """What to ask: a file of questions, the collection, how many, how many at a time, what the tokens cost."""

    path: Path
    collection: str
    limit: int | None = None
    concurrency: int = 1
    prices: Prices | None = None


@dataclass(frozen=True, slots=True)
class Judging:
    """A judge, and its calibration (`footnote eval calibrate --json`) when there is one."""

    judge: Judge
    calibration: Report | None = None

    @property
    def about(self) -> dict[str, object]:
        """Which judge it is, and how far it agreed with people. Raises InvalidInput when that was another judge."""
        kappa, labels = None, 0
        if self.calibration is not None:
            if self.calibration.get("judge") != self.judge.about:
                raise InvalidInput(
                    f"The calibration is of another judge ({self.calibration.get('judge')}) than the one that judges "
                    f"({self.judge.about}); calibrate this one."
                )
            kappa, labels = self.calibration["metrics"]["kappa"], self.calibration["queries"]
        return self.judge.about | {"kappa": kappa, "labels": labels}


@dataclass(slots=True)
class Answered:
    """What came of a question: the answer, when its first text was shown (ms), all of it, or why it failed."""

    answer: AnswerSoFar
    first_text_ms: float | None = None
    ms: float = 0.0
    failure: FootnoteError | None = None

    @property
    def refused(self) -> bool:
        """Whether the service declined to answer, or asked back."""
        end = self.answer.end
        return isinstance(end, RunCompleted) and end.finish_reason in {"refused", "clarify"}


async def run_answers(
    opening: AbstractAsyncContextManager[Service],
    suite: AnswerSuite,
    progress: Progress,
    judging: Judging | None = None,
) -> Report:
    """Ask, and score what can be scored of each answer; with a judge those too that no measure of words can.

    `opening` gives the service that is asked, and is left before the judge reads. Raises InvalidInput (a malformed
    file, a calibration of another judge, a gold document or span that is not in the collection), CollectionNotFound,
    what `opening` raises, and a question's error when all failed.
    """
    about = {"judge": judging.about} if judging else {}  # refuses a calibration of another judge
    loaded = load_questions(suite.path)
    questions = list(islice(loaded.questions, suite.limit))
    async with opening as service:
        documents = await service.documents(suite.collection)
        gold = await gold_places(service, suite.collection, documents, questions)
        answered = await _ask_all(service, suite, questions, progress)
        model, settings = service.model, service.settings
    scores = [_scores(q, gold[q.id], each, suite.prices) for q, each in zip(questions, answered, strict=True)]
    judged = await _judge_all(judging.judge, questions, answered, progress) if judging else [None] * len(questions)
    scores = [one | _verdict(each) if judging else one for one, each in zip(scores, judged, strict=True)]
    per_query = {
        question.id: one | _shown(question, each) | ({"judge_quote": verdict.quote} if verdict else {})
        for question, one, each, verdict in zip(questions, scores, answered, judged, strict=True)
    }
    return {
        "suite": f"qa:{loaded.name}",
        "fingerprint": loaded.fingerprint,
        "leg": model,
        "corpus": {
            "documents": len(documents),
            "fingerprint": fingerprint_of(sorted(d.content_hash for d in documents)),
        },
        "queries": len(questions),
        "failed": sum(each.failure is not None for each in answered),
        "unreviewed": loaded.unreviewed,
        "metrics": _means(scores),
        **about,
        "settings": settings | _about(suite),
        "per_query": per_query,
    }


def _about(suite: AnswerSuite) -> dict[str, object]:
    """What the report says of how it was asked; with other prices a cost says nothing of the change."""
    prices = suite.prices
    known = {} if prices is None else {"chat_input_price": prices.prompt, "chat_output_price": prices.completion}
    return {"collection": suite.collection, "limit": suite.limit, **known}


async def _ask_all(
    service: Service, suite: AnswerSuite, questions: Sequence[AskedQuestion], progress: Progress
) -> list[Answered]:
    task, slots = progress.start(f"asking {suite.path.stem}", len(questions)), asyncio.Semaphore(suite.concurrency)

    async def ask(question: AskedQuestion) -> Answered:
        async with slots:
            answered = await _ask(service, question, suite.collection)
        progress.advance(task)
        return answered

    answered = await asyncio.gather(*map(ask, questions))
    failures = [each.failure for each in answered if each.failure is not None]
    if len(failures) == len(answered):
        raise failures[0]
    return answered


async def _ask(service: Service, question: AskedQuestion, collection: str) -> Answered:
    answered, started = Answered(AnswerSoFar()), perf_counter()
    try:
        async with aclosing(service.ask(question, collection)) as events:
            async for event in events:
                answered.answer.add(event)
                if isinstance(event, TextDelta) and answered.first_text_ms is None:
                    answered.first_text_ms = (perf_counter() - started) * 1000
                if answered.answer.end is not None:
                    answered.ms = (perf_counter() - started) * 1000
    except FootnoteError as error:
        answered.failure = error
        answered.ms = (perf_counter() - started) * 1000
    return answered


def _scores(
    question: AskedQuestion, gold: Sequence[Place], answered: Answered, prices: Prices | None
) -> dict[str, float | None]:
    """Every metric of one answer; None where it is not defined. A failed answer counts as an empty one."""
    answer, refused = answered.answer, answered.refused
    cited = [Place(c.document_id, c.char_start, c.char_end) for c in answer.citations if c.index]
    passages = [Place(p.document_id, p.char_start, p.char_end) for p in answer.passages]
    known = {"refused": refused, "answerable": question.answerable}
    text = "" if refused else answer.text
    return {
        "exact_match": exact_match(text, question.answers),
        "token_f1": token_f1(text, question.answers),
        "passage_recall": place_recall(passages, gold),
        "citation_precision": place_precision(cited, gold),
        "citation_recall": place_recall(cited, gold),
        "support_rate": support_rate(answer.citations),
        "refusal_recall": refusal_recall(**known),
        "refusal_precision": refusal_precision(**known),
        "answer_rate": answer_rate(**known),
        "first_text_ms": answered.first_text_ms,
        "ms": answered.ms,
        "prompt_tokens": answer.usage.prompt_tokens if answer.usage else None,
        "completion_tokens": answer.usage.completion_tokens if answer.usage else None,
        **({"cost": _cost(answer, prices)} if prices is not None else {}),
    }


def _cost(answer: AnswerSoFar, prices: Prices) -> float | None:
    return cost(answer.usage, prices, completed=isinstance(answer.end, RunCompleted))


async def _judge_all(
    judge: Judge, questions: Sequence[AskedQuestion], answered: Sequence[Answered], progress: Progress
) -> list[Judgement | None]:
    """A judgement of each answer that was given to a question with a known one."""
    task, judged = progress.start("judging", len(questions)), list[Judgement | None]()
    for question, each in zip(questions, answered, strict=True):
        wanted = question.answers and each.answer.text and not each.refused and each.failure is None
        case = Case(question.question, "\n".join(question.answers), each.answer.text)
        judged.append(await judge.judge(case) if wanted else None)
        progress.advance(task)
    return judged


def _verdict(judged: Judgement | None) -> dict[str, float | None]:
    if judged is None or judged.verdict is None:
        return {"judged_correct": None, "judge_agreement": judged.agreement if judged else None}
    return {"judged_correct": float(judged.verdict == "correct"), "judge_agreement": judged.agreement}


def _shown(question: AskedQuestion, answered: Answered) -> dict[str, Any]:
    """What a reader of the report wants to see of it."""
    answer = answered.answer
    return {
        "question": question.question,
        "history": [{"role": each.role, "content": each.content} for each in question.history],
        "gold": list(question.answers),
        "answerable": question.answerable,
        "answer": answer.text,
        "refused": answered.refused,
        "failure": answered.failure.message if answered.failure else None,
        "sentences": [
            {
                "text": answer.text[each.sentence_start : each.sentence_end],
                "verdict": each.verdict,
                "score": each.score,
                "quote": each.quote,
            }
            for each in answer.citations
        ],
        "passages": [{"title": each.title, "uri": each.uri, "text": each.text} for each in answer.passages],
    }


def _means(scores: Sequence[dict[str, float | None]]) -> dict[str, float]:
    """The mean of each metric over the questions that have one; metrics that none has are left out."""
    defined = {name: [each[name] for each in scores if each[name] is not None] for name in scores[0]}
    return {name: sum(cast("list[float]", kept)) / len(kept) for name, kept in defined.items() if kept}
