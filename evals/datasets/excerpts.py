"""Excerpts: texts and questions with the exact places that answer them, the data of chunking_evaluation.

`corpora/NAME.md` are the texts; `queries.jsonl` has one question a line, whose metadata names its text (`corpus_id`)
and its excerpts (`references`: content, start_index, end_index in code points). Data and measures: B. Smith and
A. Troynikov, "Evaluating Chunking Strategies for Retrieval", Chroma Technical Report, 2024.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from app.domain.document import ParsedDocument
from app.domain.errors import InvalidInput
from evals.datasets.jsonl import Record, fingerprint_of, read_records
from evals.metrics.ranges import Range
from ingestion.loaders.dispatch import load


@dataclass(frozen=True, slots=True)
class ExcerptQuestion:
    """A question, the text that answers it, and where in it."""

    id: str
    text: str
    corpus: str
    excerpts: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class ExcerptDataset:
    """The texts as the loaders read them, by name, and the questions in order."""

    name: str
    documents: Mapping[str, ParsedDocument]
    questions: tuple[ExcerptQuestion, ...]
    fingerprint: str

    @property
    def suite_fingerprint(self) -> str:
        """Changes with any question or excerpt."""
        return fingerprint_of([[each.id, each.text, each.corpus, each.excerpts] for each in self.questions])


def load_excerpts(folder: Path) -> ExcerptDataset:
    """Read a folder whole.

    Raises InvalidInput naming file and line, also when an excerpt is not what stands at its place; UnreadableFile.
    """
    paths = sorted((folder / "corpora").glob("*.md"))
    if not paths:
        raise InvalidInput(f"{folder}: texts corpora/*.md and queries.jsonl belong here.")
    data = {path.stem: path.read_bytes() for path in paths}
    documents = {path.stem: load(path, data[path.stem]) for path in paths}
    questions = tuple(_questions(folder / "queries.jsonl", documents))
    fingerprint = sha256(b"".join(sha256(text).digest() for text in data.values())).hexdigest()
    return ExcerptDataset(folder.resolve().name, documents, questions, fingerprint)


def _questions(path: Path, documents: Mapping[str, ParsedDocument]) -> Iterator[ExcerptQuestion]:
    for number, id_, record in read_records(path):
        try:
            question = _question(id_, record)
            wrong = [
                reference["content"][:60]
                for reference, (start, end) in zip(record["metadata"]["references"], question.excerpts, strict=True)
                if start >= end or documents[question.corpus].text[start:end] != reference["content"]
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(
                f"{path}:{number}: text, metadata.corpus_id (of a text in corpora/) and metadata.references "
                f"(content, start_index, end_index) belong here; {type(error).__name__}: {error}."
            ) from error
        if wrong or not question.excerpts:
            raise InvalidInput(f"{path}:{number}: an excerpt is not where it should be: {wrong}.")
        yield question


def _question(id_: str, record: Record) -> ExcerptQuestion:
    metadata = record["metadata"]
    excerpts = tuple((int(each["start_index"]), int(each["end_index"])) for each in metadata["references"])
    return ExcerptQuestion(id_, str(record["text"]), metadata["corpus_id"], excerpts)
