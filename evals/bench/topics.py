"""Topics benchmark: does a question after another one find its document, whether it goes on from that one or not?

`python -m evals.bench.topics FOLDER… [--data-dir DIR]`; folders are in BEIR form, in English. Each question is asked
after another: once after one about the same document, once after one about another document. Searched are the question
alone, both joined, and what answering with a model that cannot be asked makes of it (`app.services.follow_up`).
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from app.bootstrap import Services, open_services
from app.domain.principal import Principal
from app.embedded.connect import connected
from app.services.follow_up import goes_on
from app.services.retrieval import SearchRequest
from app.settings import Settings, load_settings
from app.telemetry import configure_logging
from evals.corpus import SCHEME, chunking_name, collection_name, index_corpus
from evals.datasets.beir import BeirDataset, load_beir
from evals.progress import Progress

READ = 6  # as many passages as an answer gets


@dataclass(frozen=True, slots=True)
class Asked:
    """A question after another one, and the documents that are right for it."""

    question: str
    before: str
    right: frozenset[str]
    same: bool

    @property
    def searches(self) -> dict[str, str]:
        """What is searched for, by way."""
        joined = f"{self.before}\n{self.question}"
        decided = joined if goes_on(self.question, self.before) else self.question
        return {"alone": self.question, "joined": joined, "decided": decided}


def main(
    folders: Annotated[list[Path], typer.Argument(help="Data sets in BEIR form.")],
    data_dir: Annotated[Path | None, typer.Option(help="Where the embedded services keep their data.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many questions of each folder.")] = 300,
    seed: Annotated[int, typer.Option(help="Of the questions asked before.")] = 1,
) -> None:
    """Search each in three ways and print the share that finds a right document among the first six."""
    configure_logging(level="warning", json=False)
    table = Table("after a question about", "questions", "told to go on", "alone", "joined", "decided")
    with connected(load_settings(data_dir=data_dir, chat_model="scripted", embedder="local")) as settings:
        for name, same, rows in asyncio.run(_measure(settings, folders, limit, random.Random(seed))):  # noqa: S311 - nothing secret
            shares = [f"{mean(row[way] for row in rows):.3f}" for way in ("told", "alone", "joined", "decided")]
            table.add_row(f"{'the same' if same else 'another'} document, {name}", str(len(rows)), *shares)
    Console(soft_wrap=True, highlight=False).print(table)


async def _measure(
    settings: Settings, folders: Sequence[Path], limit: int, chance: random.Random
) -> list[tuple[str, bool, list[dict[str, bool]]]]:
    measured = []
    async with open_services(settings, worker=False) as services:
        with Progress() as progress:
            for folder in folders:
                dataset = load_beir(folder)
                collection = collection_name(dataset, services.embedder, chunking_name(settings, rechunk=True))
                await index_corpus(
                    settings,
                    services.database,
                    services.embedder,
                    dataset,
                    progress,
                    collection=collection,
                    rechunk=True,
                )
                asked = list(_asked(dataset, limit, chance))
                task, rows = progress.start(f"searching {folder.name}", len(asked)), defaultdict(list)
                for each in asked:
                    rows[each.same].append(await _found(services, collection, each))
                    progress.advance(task)
                measured += [(dataset.name, same, rows[same]) for same in sorted(rows, reverse=True)]
    return measured


def _asked(dataset: BeirDataset, limit: int, chance: random.Random) -> Iterator[Asked]:
    """Each of the first questions after one about the same document, where there is one, and after another one."""
    right = {id_: frozenset(d for d, grade in dataset.qrels[id_].items() if grade > 0) for id_ in dataset.queries}
    about = defaultdict(list)
    for id_, documents in right.items():
        for document in documents:
            about[document].append(id_)
    ids = list(right)
    for id_ in ids[:limit]:
        siblings = [other for document in right[id_] for other in about[document] if other != id_]
        strangers = [other for other in chance.sample(ids, min(len(ids), 50)) if not right[other] & right[id_]]
        for others, same in ((siblings, True), (strangers, False)):
            if others:
                before = dataset.queries[chance.choice(others)]
                yield Asked(dataset.queries[id_], before, right[id_], same)


async def _found(services: Services, collection: str, asked: Asked) -> dict[str, bool]:
    """Whether each way finds a right document, and whether the question was told to go on."""
    row = {"told": goes_on(asked.question, asked.before)}
    for way, text in asked.searches.items():
        request = SearchRequest(text, READ, collection, phrases="preferred")
        found = (await services.retrieval.ranked(Principal(), request)).passages
        row[way] = any(passage.uri.removeprefix(SCHEME) in asked.right for passage in found)
    return row


if __name__ == "__main__":
    typer.run(main)
