"""Questions: a suite of questions about a collection, as JSON lines, with what is known of their answers.

    {"_id": "q1", "question": "…", "answers": ["…"], "spans": [{"document": "ask.md", "quote": "…"}]}
    {"_id": "q2", "question": "…", "documents": ["guide/install.md"]}
    {"_id": "q3", "question": "…", "answerable": false}
    {"_id": "q4", "question": "And then?", "history": [{"role": "user", "content": "…"}, …]}

`"reviewed": false` marks what `footnote eval harvest` wrote and nobody has looked at: it is left out. `note` is for
people. Only `_id` and `question` are needed. A document is named by the end of its URI; a span is its exact words
there.
"""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from app.domain.conversation import ChatMessage
from app.domain.errors import InvalidInput
from evals.datasets.jsonl import Record, fingerprint_of, read_records


class GoldSpan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Words of a document that answer the question."""

    document: str
    quote: str


class AskedQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question and what is known of its answer; `answerable`: the collection holds one."""

    id: str = msgspec.field(name="_id")
    question: str
    answers: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    spans: tuple[GoldSpan, ...] = ()
    answerable: bool = True
    history: tuple[ChatMessage, ...] = ()
    reviewed: bool = True
    note: str = ""


@dataclass(frozen=True, slots=True)
class QuestionSuite:
    """The reviewed questions in the order of their file; `fingerprint` changes with any of them.

    `unreviewed`: how many others there are.
    """

    name: str
    questions: tuple[AskedQuestion, ...]
    fingerprint: str
    unreviewed: int = 0


def load_questions(path: Path) -> QuestionSuite:
    """Raises InvalidInput naming the file and the line."""
    read = [(record, _question(path, number, record)) for number, _, record in read_records(path)]
    kept = [(record, question) for record, question in read if question.reviewed]
    if read and not kept:
        raise InvalidInput(f'{path}: no question is reviewed yet; look at each, correct it, and set "reviewed": true.')
    questions = tuple(question for _, question in kept)
    return QuestionSuite(path.stem, questions, fingerprint_of([record for record, _ in kept]), len(read) - len(kept))


def _question(path: Path, number: int, record: Record) -> AskedQuestion:
    try:
        question = msgspec.convert(record, AskedQuestion)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{path}:{number}: {error}.") from error
    if not question.question.strip():
        raise InvalidInput(f"{path}:{number}: the question is empty.")
    if not question.answerable and (question.answers or question.documents or question.spans):
        raise InvalidInput(f"{path}:{number}: a question that is not answerable has no answers, documents or spans.")
    return question
