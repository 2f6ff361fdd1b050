"""Citations: how many of an answer's footnotes point into a gold supporting sentence.

`python -m evals.citations FOLDER [--questions N] [--data-dir DIR]`; FOLDER is in BEIR form, each query's metadata has
`answerable`, `shown_passage` (the gold passage's id) and `selected_sentences` (lists of its supporting sentences).
Answers come from the configured chat model over the whole corpus. Prints a line a question and a table.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from app.bootstrap import Services, open_services
from app.domain.principal import Principal
from app.domain.run import Citation, RunEvent
from app.embedded.connect import connected
from app.services.answering import Question
from app.services.outcome import AnswerSoFar
from app.settings import Settings, load_settings
from app.telemetry import configure_logging
from ingestion.cli import ingest_files
from ingestion.sources.files import find_files

COLLECTION = "evals-citations"
console = Console(soft_wrap=True, highlight=False)


@dataclass(slots=True)
class Tally:
    """Counts over all questions."""

    questions: int = 0
    retrieved: int = 0
    quoted: int = 0
    citations: int = 0
    in_gold_passage: int = 0
    overlapping: int = 0
    answers_with_overlap: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)


def main(
    folder: Annotated[Path, typer.Argument(help="A data set in BEIR form.")],
    questions: Annotated[int, typer.Option(help="How many answerable questions, from the first.")] = 30,
    data_dir: Annotated[Path | None, typer.Option(help="Where the embedded services keep their data.")] = None,
) -> None:
    """Ask, and compare each footnote's span with the gold sentences."""
    configure_logging(level="warning", json=False)
    cases = [query for query in _lines(folder / "queries.jsonl") if query["metadata"]["answerable"]][:questions]
    with connected(load_settings(data_dir=data_dir)) as settings:
        asyncio.run(_ingest(settings, folder))
        _print(settings, asyncio.run(_run(settings, cases)))


async def _ingest(settings: Settings, folder: Path) -> None:
    """One text file a passage, named by its id."""
    with TemporaryDirectory() as temporary:
        texts = Path(temporary)
        for row in _lines(folder / "corpus.jsonl"):
            (texts / f"{row['_id']}.txt").write_text(f"{row.get('title', '')}\n\n{row['text']}\n")
        report = await ingest_files(settings, find_files([texts]), COLLECTION, lambda _report: None)
    console.print(f"{report.ingested} passages ingested, {report.chunks} chunks, {report.seconds:.0f} s")


async def _run(settings: Settings, cases: list[dict[str, Any]]) -> Tally:
    tally = Tally()
    async with open_services(settings) as services:
        for case in cases:
            answer = await _ask(services, case["text"])
            await _score(services, case, answer, tally)
    return tally


async def _ask(services: Services, text: str) -> AnswerSoFar:
    answer = AnswerSoFar()
    run = await services.runs.start(Principal(), Question(text, collection=COLLECTION))
    async with aclosing(services.runs.follow(run.id)) as events:
        async for logged in events:
            event: RunEvent = logged.event()
            answer.add(event)
    return answer


async def _score(services: Services, case: dict[str, Any], answer: AnswerSoFar, tally: Tally) -> None:
    gold_id = case["metadata"]["shown_passage"]
    cited = [citation for citation in answer.citations if citation.index]
    hits = [await _hit(services, citation, gold_id, case) for citation in cited]
    tally.questions += 1
    tally.retrieved += any(Path(passage.uri).stem == gold_id for passage in answer.passages)
    tally.quoted += "\n\n“" in answer.text
    tally.citations += len(cited)
    tally.in_gold_passage += sum(hit is not None for hit in hits)
    tally.overlapping += sum(bool(hit) for hit in hits)
    tally.answers_with_overlap += any(hits)
    tally.verdicts.update(citation.verdict for citation in answer.citations)
    marks = "".join("+" if hit else "." if hit is None else "-" for hit in hits) or "no citation"
    console.print(f"{marks:12} {case['text']}\n             {' '.join(answer.text.split())[:220]}", markup=False)


async def _hit(services: Services, citation: Citation, gold_id: str, case: dict[str, Any]) -> bool | None:
    """Whether the cited span overlaps a gold sentence; None when it lies in another passage."""
    document = await services.documents.text(Principal().workspace_id, UUID(citation.document_id))
    if Path(document.uri).stem != gold_id:
        return None
    spans = [
        (start, start + len(sentence))
        for sentences in case["metadata"]["selected_sentences"]
        for sentence in sentences
        if (start := document.text.find(sentence)) >= 0
    ]
    return any(start < citation.char_end and citation.char_start < end for start, end in spans)


def _print(settings: Settings, tally: Tally) -> None:
    table = Table("measure", "value", title=f"citations, {settings.chat_model}")
    table.add_row("questions", str(tally.questions))
    table.add_row("gold passage among those given to the model", f"{tally.retrieved / tally.questions:.2f}")
    table.add_row("answers that quote, for nothing the model said held", f"{tally.quoted / tally.questions:.2f}")
    table.add_row("citations", str(tally.citations))
    table.add_row("of them in the gold passage", f"{tally.in_gold_passage / max(tally.citations, 1):.2f}")
    table.add_row("of them overlapping a gold sentence", f"{tally.overlapping / max(tally.citations, 1):.2f}")
    table.add_row("answers with such a citation", f"{tally.answers_with_overlap / tally.questions:.2f}")
    table.add_row("verdicts", ", ".join(f"{name} {count}" for name, count in sorted(tally.verdicts.items())))
    console.print(table)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open() as file:
        for line in file:
            yield json.loads(line)


if __name__ == "__main__":
    typer.run(main)
