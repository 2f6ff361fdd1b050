"""As questions: a data set in BEIR form as a folder to ingest and a suite `qa:` to ask.

`python -m evals.datasets.as_questions FOLDER OUT [--questions 100]`. Its queries' metadata say whether the corpus
answers them (`answerable`) and how (`answers`), as ClapNQ's do. Half of the questions, drawn by chance, have an answer.
`OUT/documents` gets every document, `OUT/questions.jsonl` the questions.
"""

import json
import random
import sys
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from app.domain.errors import FootnoteError, InvalidInput
from evals.datasets.beir import BeirDataset, load_beir
from evals.datasets.jsonl import read_records


def main(
    folder: Annotated[Path, typer.Argument(help="The data set.")],
    out: Annotated[Path, typer.Argument(help="Write to this folder.")],
    questions: Annotated[int, typer.Option(min=2, help="How many, half of them with an answer.")] = 100,
) -> None:
    """Write both. Raises InvalidInput for a data set that does not say what its corpus answers, or has too few."""
    dataset = load_beir(folder)
    asked = _questions(folder / "queries.jsonl", dataset)
    if fewer := [answerable for answerable, found in asked.items() if len(found) < questions // 2]:
        kind = "with" if fewer[0] else "without"
        raise InvalidInput(f"{folder} has {len(asked[fewer[0]])} questions {kind} an answer; take fewer: --questions.")
    if odd := [row.id for row in dataset.corpus if "/" in row.id]:
        raise InvalidInput(f"{folder}: the document {odd[0]} cannot be a file of that name.")
    documents = out / "documents"
    documents.mkdir(parents=True, exist_ok=True)
    for row in dataset.corpus:
        (documents / f"{row.id}.md").write_text(f"# {row.title}\n\n{row.text}\n")
    chance = random.Random(7)  # noqa: S311 - not for secrets
    halves = [chance.sample(asked[answerable], questions // 2) for answerable in (True, False)]
    lines = (json.dumps(question, ensure_ascii=False) for question in chain.from_iterable(zip(*halves, strict=True)))
    (out / "questions.jsonl").write_text("".join(f"{line}\n" for line in lines))


def _questions(path: Path, dataset: BeirDataset) -> dict[bool, list[dict[str, Any]]]:
    """Lines of the suite, those with an answer and those without. Raises InvalidInput naming the line."""
    asked: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    for number, id_, record in read_records(path):
        match record.get("metadata"):
            case {"answerable": False}:
                question = {"_id": id_, "question": record["text"], "answerable": False}
            case {"answerable": True, "answers": list(answers)} if id_ in dataset.qrels:
                right = [f"{document}.md" for document, grade in dataset.qrels[id_].items() if grade > 0]
                question = {"_id": id_, "question": record["text"], "answerable": True}
                question |= {"answers": [answer for answer in answers if answer.strip()], "documents": right}
            case _:
                raise InvalidInput(
                    f"{path}:{number}: metadata.answerable belongs here, and where it is true metadata.answers and a "
                    "relevant document."
                )
        asked[question["answerable"]].append(question)
    return asked


if __name__ == "__main__":
    try:
        typer.run(main)
    except FootnoteError as error:
        sys.exit(f"as_questions: {error.message}")
