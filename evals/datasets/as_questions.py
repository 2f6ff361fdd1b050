"""As questions: a data set in BEIR form as a folder to ingest and a suite `qa:` to ask.

`python -m evals.datasets.as_questions FOLDER OUT [--questions 100]`. Its queries' metadata say whether the corpus
answers them (`answerable`) and how (`answers`), as ClapNQ's do. Half of the questions, drawn by chance, have an answer.
`OUT/documents` gets every document, `OUT/questions.jsonl` the questions.
"""

import json
import random
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from evals.datasets.beir import load_beir
from evals.datasets.jsonl import read_records


def main(
    folder: Annotated[Path, typer.Argument(help="The data set.")],
    out: Annotated[Path, typer.Argument(help="Write to this folder.")],
    questions: Annotated[int, typer.Option(min=2, help="How many, half of them with an answer.")] = 100,
) -> None:
    """Write both."""
    dataset = load_beir(folder)
    documents = out / "documents"
    documents.mkdir(parents=True, exist_ok=True)
    for row in dataset.corpus:
        (documents / f"{row.id}.md").write_text(f"# {row.title}\n\n{row.text}\n")
    asked: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    for _, id_, record in read_records(folder / "queries.jsonl"):
        about = record["metadata"]
        question = {"_id": id_, "question": record["text"], "answerable": bool(about["answerable"])}
        if about["answerable"]:
            right = [f"{document}.md" for document, grade in dataset.qrels[id_].items() if grade > 0]
            question |= {"answers": [answer for answer in about["answers"] if answer.strip()], "documents": right}
        asked[question["answerable"]].append(question)
    chance = random.Random(7)  # noqa: S311 - not for secrets
    halves = [chance.sample(asked[answerable], questions // 2) for answerable in (True, False)]
    lines = (json.dumps(question, ensure_ascii=False) for question in chain.from_iterable(zip(*halves, strict=True)))
    (out / "questions.jsonl").write_text("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    typer.run(main)
