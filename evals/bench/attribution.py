"""Attribution benchmark: which passage sentences an answer's sentences rest on, and whether wrong ones are found.

`python -m evals.bench.attribution FOLDER [--data-dir DIR] [--draws 3]`; FOLDER is in BEIR form, a query's metadata has
`answers`, for each its `selected_sentences` (the passage sentences that it rests on) and `shown_passage` (the passage's
id). The candidates are the sentences of the five best passages, the right one among them. A predicted sentence counts
as right when it is one of the answer's. Then facts of the answers are changed (`evals.bench.changes`), and counted is
how many changed sentences are not called supported, and how many unchanged ones. No language model takes part.

The questions are cut into halves by a hash: rules and constants are chosen on the first, the second is held out.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from app.bootstrap import Services, open_services
from app.domain.passage import Passage
from app.domain.ports import Embedder
from app.domain.principal import Principal
from app.domain.sentences import Sentence, split
from app.embedded.connect import connected
from app.services.attribution import Attributor
from app.services.retrieval import SearchRequest
from app.settings import Settings, load_settings
from app.telemetry import configure_logging
from evals.bench.changes import CHANGES
from evals.corpus import SCHEME, chunking_name, collection_name, index_corpus
from evals.datasets.beir import load_beir
from evals.progress import Progress

PASSAGES = 5
EACH = 40  # changed sentences of each kind
Place = tuple[int, int]
"""A passage and one of its sentences, by their numbers."""
console = Console(soft_wrap=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Case:
    """An answer, the passages it is compared with, and where it really rests."""

    question: str
    answer: str
    passages: tuple[Passage, ...]
    sentences: tuple[tuple[Sentence, ...], ...]
    right: frozenset[Place]

    @property
    def held_out(self) -> bool:
        """Whether the question is in the half that nothing is chosen on."""
        return sha256(self.question.encode()).digest()[-1] % 2 == 1

    def texts(self, places: frozenset[Place]) -> frozenset[str]:
        """The sentences at these places; one that stands in two passages comes once."""
        return frozenset(self.sentences[i][j].text for i, j in places)


@dataclass(slots=True)
class Tally:
    """Counts of predicted and of right sentences."""

    hits: int = 0
    predicted: int = 0
    right: int = 0

    def add(self, predicted: frozenset[Any], right: frozenset[Any]) -> None:
        """One more answer."""
        self.hits += len(predicted & right)
        self.predicted += len(predicted)
        self.right += len(right)

    def row(self) -> list[str]:
        """Precision, recall and F1."""
        precision, recall = self.hits / self.predicted, self.hits / self.right
        return [f"{v:.3f}" for v in (precision, recall, 2 * precision * recall / (precision + recall))]


def main(
    folder: Annotated[Path, typer.Argument(help="A data set in BEIR form.")],
    data_dir: Annotated[Path | None, typer.Option(help="Where the embedded services keep their data.")] = None,
    draws: Annotated[int, typer.Option(help="How often facts are drawn and changed.")] = 3,
) -> None:
    """Retrieve, attribute, change, and print the tables."""
    configure_logging(level="warning", json=False)
    with connected(load_settings(data_dir=data_dir, chat_model="scripted", embedder="local")) as settings:
        cases, nearest = asyncio.run(_prepare(settings, folder))
    _print_places(cases, nearest)
    _print_changes("sentences not called supported", cases, draws)
    _print_changes("the same, held-out half", [case for case in cases if case.held_out], draws)


async def _prepare(settings: Settings, folder: Path) -> tuple[list[Case], list[frozenset[Place]]]:
    """The cases, and for each the places that embeddings alone would name."""
    async with open_services(settings, worker=False) as services:
        with Progress() as progress:
            cases = await _cases(settings, services, folder, progress)
            task, nearest = progress.start("embedding sentences", len(cases)), []
            for case in cases:
                nearest.append(await _nearest(services.embedder, case))
                progress.advance(task)
    return cases, nearest


async def _cases(settings: Settings, services: Services, folder: Path, progress: Progress) -> list[Case]:
    dataset = load_beir(folder)
    collection = collection_name(dataset, services.embedder, chunking_name(settings, rechunk=False))
    await index_corpus(
        settings, services.database, services.embedder, dataset, progress, collection=collection, rechunk=False
    )
    cases = []
    for query in map(json.loads, (folder / "queries.jsonl").read_text().splitlines()):
        about = query["metadata"]
        if about["answerable"]:
            passages = await _passages(services, query["text"], collection, SCHEME + about["shown_passage"])
            pairs = zip(about["answers"], about["selected_sentences"], strict=True)
            cases += [_case(query["text"], answer, passages, selected) for answer, selected in pairs]
    return [case for case in cases if case.right]


async def _passages(services: Services, question: str, collection: str, right: str) -> tuple[Passage, ...]:
    """The best passages; the right one takes the last place when it is not among them."""
    request = SearchRequest(question, 100, collection, phrases="preferred")
    found = (await services.retrieval.ranked(Principal(), request)).passages
    best = found[:PASSAGES]
    if all(passage.uri != right for passage in best):
        best[-1] = next(passage for passage in found if passage.uri == right)
    return tuple(best)


def _case(question: str, answer: str, passages: tuple[Passage, ...], selected: Sequence[str]) -> Case:
    sentences = tuple(tuple(split(passage.text)) for passage in passages)
    places = [
        (i, passage.text.find(text), passage.text.find(text) + len(text))
        for i, passage in enumerate(passages)
        for text in selected
        if text in passage.text
    ]
    right = [place for i, start, end in places for place in _covered(sentences, i, start, end)]
    return Case(question, answer, passages, sentences, frozenset(right))


def _covered(sentences: Sequence[Sequence[Sentence]], passage: int, start: int, end: int) -> list[Place]:
    """The sentences of a passage of which at least half lies in the span."""
    return [
        (passage, j)
        for j, s in enumerate(sentences[passage])
        if 2 * (min(end, s.end) - max(start, s.start)) >= s.end - s.start
    ]


async def _nearest(embedder: Embedder, case: Case) -> frozenset[Place]:
    """For each sentence of the answer the passage sentence with the highest cosine."""
    places = [(i, j) for i, each in enumerate(case.sentences) for j in range(len(each))]
    vectors = await embedder.embed_passages([case.sentences[i][j].text for i, j in places])
    asked = await embedder.embed_passages([s.text for s in split(case.answer) if s.checkable])
    return frozenset(places[int(best)] for best in np.argmax(asked @ vectors.T, axis=1))


def _attributed(case: Case, attributor: Attributor) -> frozenset[Place]:
    """The sentences of the spans that attribution names."""
    numbers = {passage.id: i for i, passage in enumerate(case.passages)}
    places: list[Place] = []
    for citation in (c for sentence in split(case.answer) for c in attributor.citations(sentence) if c.passage_id):
        i = numbers[citation.passage_id]
        offset = case.passages[i].char_start
        places += _covered(case.sentences, i, citation.char_start - offset, citation.char_end - offset)
    return frozenset(places)


def _print_places(cases: Sequence[Case], nearest: Sequence[frozenset[Place]]) -> None:
    embedded, first, second, ours, once = (Tally() for _ in range(5))
    laps = []
    for case, guess in zip(cases, nearest, strict=True):
        attributor = Attributor(case.passages, case.question)
        attributed = _attributed(case, attributor)
        embedded.add(guess, case.right)
        for tally in (second if case.held_out else first, ours):
            tally.add(attributed, case.right)
        once.add(case.texts(attributed), case.texts(case.right))
        for sentence in split(case.answer):
            started = perf_counter()
            attributor.citations(sentence)
            laps.append((perf_counter() - started) * 1000)
    table = Table("what a sentence rests on", "precision", "recall", "F1", title=f"{len(cases)} answers")
    table.add_row("nearest sentence by embedding", *embedded.row())
    table.add_row("attribution, first half", *first.row())
    table.add_row("attribution, held-out half", *second.row())
    table.add_row("attribution", *ours.row())
    table.add_row("attribution, a sentence in two passages counted once", *once.row())
    console.print(table)
    console.print(f"{median(laps):.1f} ms a sentence (p50), {np.percentile(laps, 95):.1f} ms (p95)")


def _print_changes(title: str, cases: Sequence[Case], draws: int) -> None:
    attributors = [Attributor(case.passages, case.question) for case in cases]
    said = [(n, s) for n, case in enumerate(cases) for s in split(case.answer)]
    verdicts = [_verdict(attributors[n], s.text) for n, s in said]
    claims = Counter(verdict for verdict in verdicts if verdict is not None)
    flagged = 1 - claims["supported"] / claims.total()
    table = Table("changed", *(f"draw {draw + 1}" for draw in range(draws)), title=title)
    rows: dict[str, list[str]] = {kind: [] for kind in (*CHANGES, "all")}
    for draw in range(draws):
        counts = _flagged(attributors, said, Random(draw))  # noqa: S311 - not secret
        for kind, results in counts.items():
            rows[kind].append(f"{np.mean(results):.1%} of {len(results)}")
        everything = [each for results in counts.values() for each in results]
        rows["all"].append(f"{np.mean(everything):.1%} of {len(everything)}")
    for kind, shares in rows.items():
        table.add_row(kind, *shares)
    table.add_row("unchanged", f"{flagged:.1%} of {claims.total()}", *[""] * (draws - 1))
    console.print(table)


def _flagged(
    attributors: Sequence[Attributor], said: Sequence[tuple[int, Sentence]], random: Random
) -> Mapping[str, list[bool]]:
    """For each kind of change, whether each of EACH changed sentences was not called supported."""
    counts: dict[str, list[bool]] = {}
    for kind, change in CHANGES.items():
        counts[kind] = []
        for n, sentence in random.sample(said, len(said)):
            changed = change(sentence.text, random)
            if changed is not None and changed != sentence.text and len(counts[kind]) < EACH:
                counts[kind].append(_verdict(attributors[n], changed) != "supported")
    return counts


def _verdict(attributor: Attributor, text: str) -> Any:
    """None when the sentence makes no claim."""
    citations = attributor.citations(Sentence(0, len(text), text))
    return citations[0].verdict if citations else None


if __name__ == "__main__":
    typer.run(main)
