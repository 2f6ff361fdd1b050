"""Contradictions: labelled answers for a judge, made from questions with long answers (PubMedQA in BEIR form).

`python -m evals.datasets.contradictions FOLDER OUT [--cases 300]`. The reference is the question's long answer. A third
of the answers are its last sentence (correct), a third that sentence with a negation or number changed (contradicted),
a third the last sentence of another question's long answer (irrelevant). Read some before you trust them.
"""

import json
import random
import re
from pathlib import Path
from typing import Annotated

import typer

from evals.bench.changes import CHANGES
from evals.datasets.jsonl import read_records

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


def main(
    folder: Annotated[Path, typer.Argument(help="The data set.")],
    out: Annotated[Path, typer.Argument(help="Write the labels to this file.")],
    cases: Annotated[int, typer.Option(min=3, help="How many, a third of each label.")] = 300,
) -> None:
    """Make the labels."""
    chance = random.Random(6)  # noqa: S311 - not for secrets
    records = read_records(folder / "queries.jsonl")
    questions = [(id_, record["text"], record["metadata"]["long_answer"]) for _, id_, record in records]
    chance.shuffle(questions)
    made: list[dict[str, str]] = []
    for at, (id_, question, reference) in enumerate(questions):
        sentence, other = _last(reference), _last(questions[at - 1][2])
        wrong = CHANGES["negation"](sentence, chance) or CHANGES["number"](sentence, chance)
        if wrong is None or len(made) >= cases:
            continue
        answers = {"correct": sentence, "contradicted": wrong, "irrelevant": other}
        made += [
            {"_id": f"{id_}-{label}", "question": question, "reference": reference, "answer": answer, "label": label}
            for label, answer in answers.items()
        ]
    chance.shuffle(made)
    out.write_text("".join(json.dumps(case, ensure_ascii=False) + "\n" for case in made[:cases]))


def _last(text: str) -> str:
    return _SENTENCE.split(text.strip())[-1]


if __name__ == "__main__":
    typer.run(main)
