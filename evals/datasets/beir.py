"""BEIR: a retrieval data set as a folder, `corpus.jsonl`, `queries.jsonl` and `qrels.tsv` (Thakur et al. 2021)."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from app.domain.errors import InvalidInput
from evals.datasets.jsonl import Record, fingerprint_of, read_lines, read_records

_GRADE = re.compile(r"-?[0-9]{1,4}")  # trec_eval takes memory for every grade up to the highest


@dataclass(frozen=True, slots=True)
class Row:
    """A document of the corpus; `title` may be empty."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class BeirDataset:
    """Documents, the judged queries in the order of their file, and their judgements.

    `qrels[query][document]` is the grade, 0 for judged and not relevant. `fingerprint` is the hash of the corpus file,
    `suite_fingerprint` that of the queries and judgements that were kept.
    """

    name: str
    corpus: tuple[Row, ...]
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]
    fingerprint: str

    @property
    def suite_fingerprint(self) -> str:
        """Changes with any question or judgement."""
        return fingerprint_of([[id_, text, sorted(self.qrels[id_].items())] for id_, text in self.queries.items()])


def load_beir(folder: Path) -> BeirDataset:
    """Read a folder whole; only queries with a relevant document are kept.

    The judgements are `qrels.tsv` or, as BEIR itself lays them out, `qrels/test.tsv`.
    Raises InvalidInput naming the file and the line.
    """
    if not folder.is_dir():
        raise InvalidInput(f"{folder}: a folder with corpus.jsonl, queries.jsonl and qrels.tsv belongs here.")
    corpus = tuple(_rows(folder / "corpus.jsonl"))
    texts = {id_: text for _, id_, record in read_records(folder / "queries.jsonl") if (text := _text(record))}
    judgements = folder / "qrels.tsv"
    if not judgements.exists() and (folder / "qrels" / "test.tsv").exists():
        judgements = folder / "qrels" / "test.tsv"
    qrels = _qrels(judgements, set(texts), {row.id for row in corpus})
    queries = {id_: text for id_, text in texts.items() if any(grade > 0 for grade in qrels.get(id_, {}).values())}
    if not queries:
        raise InvalidInput(f"{judgements}: no query has a relevant document.")
    fingerprint = sha256((folder / "corpus.jsonl").read_bytes()).hexdigest()
    return BeirDataset(folder.resolve().name, corpus, queries, {id_: qrels[id_] for id_ in queries}, fingerprint)


def _rows(path: Path) -> Iterator[Row]:
    for number, id_, record in read_records(path):
        if "\x00" in id_:
            raise InvalidInput(f'{path}:{number}: the "_id" has a NUL character in it, which PostgreSQL does not keep.')
        title, text = (record.get("title") or ""), record.get("text")
        if not isinstance(title, str) or not isinstance(text, str):
            raise InvalidInput(f'{path}:{number}: "title" and "text" must be strings.')
        yield Row(id_, " ".join(title.replace("\x00", " ").split()), text.replace("\x00", " "))


def _text(record: Record) -> str:
    text = record.get("text")
    return text if isinstance(text, str) and text.strip() else ""


def _qrels(path: Path, queries: set[str], documents: set[str]) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    for number, line in read_lines(path):
        fields = line.rstrip("\r\n").split("\t")
        if number == 1 and fields[-1].strip() == "score":
            continue
        if len(fields) != 3 or not _GRADE.fullmatch(fields[2].strip()):
            raise InvalidInput(f"{path}:{number}: query-id, corpus-id and a whole score belong here, between tabs.")
        query, document = fields[0], fields[1]
        if query not in queries:
            raise InvalidInput(f"{path}:{number}: the query {query} has no text in queries.jsonl.")
        if document not in documents:
            raise InvalidInput(f"{path}:{number}: the document {document} is not in corpus.jsonl.")
        grade = int(fields[2])
        if qrels.setdefault(query, {}).setdefault(document, grade) != grade:
            raise InvalidInput(f"{path}:{number}: the document {document} is judged twice for {query}, not alike.")
    return qrels
