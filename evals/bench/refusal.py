"""Refusal benchmark: does the gate before the model tell questions with an answer from those without?

`python -m evals.bench.refusal FOLDER… [--data-dir DIR] [--fit]`; folders are in BEIR form. Where the queries' metadata
says so (`answerable`, or `evidence` that may be empty), the data's own judgement counts. Elsewhere each question counts
twice: as it is, and without the documents that are right for it. The whole corpus is searched, cut as ingestion cuts
it, by the packaged embedder. The gate is measured with a close look at every question, and as it runs, where that look
is spared when the quick one is sure. `--fit` also prints the weights that fit all folders given, judged ones three
times as heavy as others, and what tenfold cross-validation says of them.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from app.bootstrap import Services, open_services
from app.domain.passage import Passage
from app.domain.ports import TokenMatcher, Vectors
from app.domain.principal import Principal
from app.embedded.connect import connected
from app.providers.local_embedder import LocalEmbedder
from app.services.evidence import (
    CLOSE_LOOK,
    KNOWN_COSINES,
    OTHER_COSINES,
    OTHER_LANGUAGES,
    Evidence,
    EvidenceGate,
    bodies,
    in_english,
    looked_closely,
    read_evidence,
)
from app.services.retrieval import SearchRequest
from app.settings import Settings, load_settings
from app.telemetry import configure_logging
from evals.corpus import SCHEME, chunking_name, collection_name, index_corpus
from evals.datasets.beir import BeirDataset, load_beir
from evals.progress import Progress

READ = 12  # as many as answering reads
FALSE_REFUSALS = 0.05
JUDGED, MADE = 3.0, 0.5  # weights of a folder in the fit
Numbers = NDArray[np.float64]
console = Console(soft_wrap=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Case:
    """What was found for a question, and whether an answer stands there.

    The passages' `scores`; the `evidence` of a close look; whether they are `english`; whether the gate `opened`, and
    `looked` closely for that; the milliseconds of the quick look and of what the close one adds.
    """

    scores: Sequence[float]
    evidence: Evidence
    english: bool
    opened: bool
    looked: bool
    ms: tuple[float, float]
    answered: bool

    @property
    def quick(self) -> float:
        """What the quick look says."""
        return (KNOWN_COSINES if self.english else OTHER_LANGUAGES).probability(self.evidence)

    @property
    def close(self) -> float:
        """What the close look says, where the gate has one."""
        return CLOSE_LOOK.probability(self.evidence) if self.english else self.quick


@dataclass(frozen=True, slots=True)
class Cases:
    """Those of a folder; `judged`: by the data set's authors."""

    name: str
    cases: list[Case]
    judged: bool

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Which of them have an answer."""
        return np.array([case.answered for case in self.cases])


def main(
    folders: Annotated[list[Path], typer.Argument(help="Data sets in BEIR form.")],
    data_dir: Annotated[Path | None, typer.Option(help="Where the embedded services keep their data.")] = None,
    fit: Annotated[bool, typer.Option("--fit", help="Also find the weights anew.")] = False,
) -> None:
    """Search, judge by the gate and by single features, and print the tables."""
    configure_logging(level="warning", json=False)
    with connected(load_settings(data_dir=data_dir, chat_model="scripted", embedder="local")) as settings:
        sets = asyncio.run(_find(settings, folders))
        _print(sets, settings.min_evidence)
    if fit:
        _fit(sets)


async def _find(settings: Settings, folders: Sequence[Path]) -> list[Cases]:
    async with open_services(settings, worker=False) as services:
        with Progress() as progress:
            return [await _cases(settings, services, folder, progress) for folder in folders]


async def _cases(settings: Settings, services: Services, folder: Path, progress: Progress) -> Cases:
    dataset, tokens = load_beir(folder), services.embedder
    assert isinstance(tokens, LocalEmbedder)  # noqa: S101 - as the settings have it
    collection = collection_name(dataset, services.embedder, chunking_name(settings, rechunk=True))
    await index_corpus(
        settings, services.database, services.embedder, dataset, progress, collection=collection, rechunk=True
    )
    judged = dict(_judged(folder))
    questions = judged or dict.fromkeys(dataset.queries.values(), True)
    right = {dataset.queries[id_]: _right(dataset, id_) for id_ in dataset.queries}
    task, cases = progress.start(f"searching {folder.name}", len(questions)), []
    for question, answered in questions.items():
        # beyond READ, so that as many are left without the right documents
        request = SearchRequest(question, READ if judged else 2 * READ, collection, phrases="preferred")
        found = tuple((await services.retrieval.ranked(Principal(), request)).passages)
        cases.append(await _case(tokens, question, found[:READ], settings.min_evidence, answered=answered))
        if not judged:
            others = tuple(p for p in found if p.uri not in right[question])
            cases.append(await _case(tokens, question, others[:READ], settings.min_evidence, answered=False))
        progress.advance(task)
    return Cases(dataset.name, cases, bool(judged))


async def _case(
    tokens: TokenMatcher, question: str, passages: tuple[Passage, ...], least: float, *, answered: bool
) -> Case:
    started, nearest = perf_counter(), list[Vectors]()
    evidence, english = read_evidence(question, passages), in_english(passages)
    looked = perf_counter()
    if english:
        nearest = await tokens.nearest_tokens(question, bodies(passages))
        evidence = looked_closely(evidence, nearest)
    laps = (looked - started) * 1000, (perf_counter() - looked) * 1000
    compared = _Compared(nearest)
    opened = await EvidenceGate(least, compared).opens(question, passages)
    scores = [passage.score for passage in passages]
    return Case(scores, evidence, english, opened, compared.asked, laps, answered)


class _Compared:
    """What was found for a question's tokens, for the gate to find again; notes whether it was `asked`."""

    def __init__(self, nearest: list[Vectors]) -> None:
        self._nearest = nearest
        self.asked = False

    async def nearest_tokens(self, question: str, texts: Sequence[str]) -> list[Vectors]:
        """As TokenMatcher has it."""
        self.asked = True
        return self._nearest


def _judged(folder: Path) -> Iterator[tuple[str, bool]]:
    """Questions and whether they have an answer, where their metadata says so."""
    for line in (folder / "queries.jsonl").read_text().splitlines():
        query = json.loads(line)
        about = query.get("metadata") or {}
        if "answerable" in about:
            yield query["text"], bool(about["answerable"])
        elif "evidence" in about:
            yield query["text"], bool(about["evidence"])


def _right(dataset: BeirDataset, query: str) -> set[str]:
    return {SCHEME + document for document, grade in dataset.qrels[query].items() if grade > 0}


def _print(sets: Sequence[Cases], threshold: float) -> None:
    quality = Table("area under the ROC curve", *(each.name for each in sets))
    quality.add_row("questions with an answer", *(str(int(each.answered.sum())) for each in sets))
    quality.add_row("questions without", *(str(int((~each.answered).sum())) for each in sets))
    scores = [_scores(each.cases) for each in sets]
    for name in scores[0]:
        quality.add_row(name, *(_auc(each, by[name]) for each, by in zip(sets, scores, strict=True)))
    console.print(quality)
    refused = Table("share refused", *(each.name for each in sets))
    for name in scores[0]:
        shares = [_caught(each, by[name]) for each, by in zip(sets, scores, strict=True)]
        refused.add_row(f"without answer, at {FALSE_REFUSALS:.0%} of those with: {name}", *shares)
    for what, kept in (("with answer", True), ("without answer", False)):
        refused.add_row(
            f"{what}, as it runs by default ({threshold:g})",
            *(_share(each, kept, lambda case: not case.opened) for each in sets),
        )
    for what, kept in (("with answer", True), ("without answer", False)):
        refused.add_row(
            f"{what}, looked at closely",
            *(_share(each, kept, lambda case: case.looked) for each in sets),
        )
    for place, what in enumerate(("a quick look", "what a close one adds")):
        refused.add_row(
            f"ms of {what}, p50", *(f"{median(case.ms[place] for case in each.cases):.1f}" for each in sets)
        )
    console.print(refused)


def _scores(cases: Sequence[Case]) -> Mapping[str, Numbers]:
    """What the gate says of each case, and what single features do."""
    tops = [sorted(case.scores, reverse=True)[:2] for case in cases]
    return {
        "the gate, looking closely": np.array([case.close for case in cases]),
        "its quick look": np.array([case.quick for case in cases]),
        "top score": np.array([top[0] for top in tops]),
        "margin of the top score": np.array([top[0] - top[-1] for top in tops]),
        "cosine of the best passage": np.array([case.evidence.similarity for case in cases]),
        "best sentence's share of words": np.array([case.evidence.sentence for case in cases]),
        "closeness of the tokens": np.array([case.evidence.closeness for case in cases]),
    }


def _auc(cases: Cases, scores: Numbers) -> str:
    return f"{roc_auc_score(cases.answered, scores):.3f}"


def _caught(cases: Cases, scores: Numbers) -> str:
    """The share of questions without answer below the score that so many with one stay below."""
    threshold = np.quantile(scores[cases.answered], FALSE_REFUSALS)
    return f"{(scores[~cases.answered] < threshold).mean():.1%}"


def _share(cases: Cases, answered: bool, which: Callable[[Case], bool]) -> str:
    chosen = [which(case) for case in cases.cases if case.answered == answered]
    return f"{sum(chosen) / len(chosen):.1%}" if chosen else "–"


def _fit(sets: Sequence[Cases]) -> None:
    """The weights for English text, with a quick look and a close one, and those for all text.

    What is held out is judged as the gate would: English text by the other folds' weights, the rest by OTHER_LANGUAGES,
    whose own weights were found with small collections beside these (docs/decisions/0019-refusal.md).
    """
    names = [field.name for field in fields(Evidence)]
    english = [each for each in sets if np.mean([case.english for case in each.cases]) > 0.5]
    all_weights = {"KNOWN_COSINES": KNOWN_COSINES, "CLOSE_LOOK": CLOSE_LOOK, "OTHER_COSINES": OTHER_COSINES}
    for title, weights in all_weights.items():
        chosen = sets if weights is OTHER_COSINES else english
        used = [name for name in names if getattr(weights, name)]
        columns = [names.index(name) for name in used]
        read = np.array([case.english or weights is OTHER_COSINES for each in chosen for case in each.cases])
        x = np.array([astuple(case.evidence) for each in chosen for case in each.cases])[read][:, columns]
        y = np.concatenate([each.answered for each in chosen])[read]
        heavy = np.concatenate([_weights(each) for each in chosen])[read]
        model = LogisticRegression(C=1e3, max_iter=5000)
        folds = StratifiedKFold(10, shuffle=True, random_state=0)
        held_out = np.array([OTHER_LANGUAGES.probability(case.evidence) for each in chosen for case in each.cases])
        held_out[read] = cross_val_predict(
            model, x, y, cv=folds, method="predict_proba", params={"sample_weight": heavy}
        )[:, 1]
        model.fit(x, y, sample_weight=heavy)
        console.print(f"{title}: intercept {model.intercept_[0]:.3f}")
        for name, weight in zip(used, model.coef_[0], strict=True):
            console.print(f"  {name} {weight:.3f}")
        place = 0
        for each in chosen:
            own = held_out[place : place + len(each.cases)]
            place += len(each.cases)
            console.print(
                f"{each.name}: {_auc(each, own)} held out, {_caught(each, own)} refused at {FALSE_REFUSALS:.0%}"
            )


def _weights(cases: Cases) -> Numbers:
    """Both kinds of question weigh the same in a folder, and judged folders more than others."""
    answered, folder = cases.answered, JUDGED if cases.judged else MADE
    of_each = {True: 500 * folder / max(answered.sum(), 1), False: 500 * folder / max((~answered).sum(), 1)}
    return np.array([of_each[bool(each)] for each in answered], np.float64)


if __name__ == "__main__":
    typer.run(main)
