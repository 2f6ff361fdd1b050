"""Chunking: the suite `chunking:`, how well the chunker's pieces fit what answers a question.

As the published figures were made: all texts' chunks in one collection, the five nearest to the question's vector are
retrieved, by an exact scan. No database takes part, so that only the chunker and the embedder are measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from app.domain.document import Chunk
from app.domain.index import chunker_id
from app.domain.ports import Embedder
from app.providers.embedder import make_embedder
from app.providers.tokenizer import count_tokens
from app.settings import Settings
from evals.contexts import situate
from evals.datasets.excerpts import ExcerptDataset, ExcerptQuestion, load_excerpts
from evals.metrics.ranges import coverage_scores
from evals.progress import Progress
from evals.report import Report
from evals.vectors import VectorCache
from ingestion.chunking.structure import chunk

K = 5


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk and the text it is of."""

    corpus: str
    chunk: Chunk

    @property
    def name(self) -> str:
        """Where it is, for the report."""
        return f"{self.corpus}:{self.chunk.char_start}-{self.chunk.char_end}"


async def run_chunking(
    settings: Settings, folder: Path, progress: Progress, *, limit: int | None = None, contexts: bool = False
) -> Report:
    """Cut, embed, retrieve, score; with `contexts`, the chat model of the settings situates each chunk first.

    Raises InvalidInput (a malformed folder), ProviderError (of a model), ConfigurationError.
    """
    dataset = load_excerpts(folder)
    questions = list(islice(dataset.questions, limit))
    chunks, about = _chunks(dataset, settings.chunk_tokens), dict[str, object]()
    if contexts:
        documents = {name: (dataset.documents[name].title, found) for name, found in chunks.items()}
        chunks, about["contexts"] = await situate(settings, documents, progress)
    pieces = [Piece(name, piece) for name, found in chunks.items() for piece in found]
    embedder = make_embedder(settings)
    try:
        retrieved = await _retrieve(settings, embedder, pieces, questions, dataset.name, progress)
    finally:
        await embedder.close()
    per_query = {
        question.id: _scores(question, pieces, hits) for question, hits in zip(questions, retrieved, strict=True)
    }
    names = list(next(iter(per_query.values())))
    return {
        "suite": f"chunking:{dataset.name}",
        "fingerprint": dataset.suite_fingerprint,
        "leg": "dense",
        "corpus": {"documents": len(dataset.documents), "chunks": len(pieces), "fingerprint": dataset.fingerprint},
        "queries": len(questions),
        "metrics": {name: float(np.mean([scores[name] for scores in per_query.values()])) for name in names},
        "sd": {name: float(np.std([scores[name] for scores in per_query.values()])) for name in names},
        "settings": {"chunker": chunker_id(settings.chunk_tokens), "embedder_name": embedder.name, "k": K, **about},
        "per_query": {
            question.id: {"question": question.text, **per_query[question.id], "hits": [piece.name for piece in hits]}
            for question, hits in zip(questions, retrieved, strict=True)
        },
    }


def _chunks(dataset: ExcerptDataset, max_tokens: int) -> dict[str, list[Chunk]]:
    return {
        name: chunk(document, max_tokens=max_tokens, count_tokens=count_tokens)
        for name, document in dataset.documents.items()
    }


async def _retrieve(
    settings: Settings,
    embedder: Embedder,
    pieces: Sequence[Piece],
    questions: Sequence[ExcerptQuestion],
    name: str,
    progress: Progress,
) -> list[list[Piece]]:
    """The K nearest pieces to each question, nearest first."""
    task = progress.start(f"embedding {name}", len(pieces))
    cache = VectorCache(settings.data_dir / "evals", name, embedder)
    texts = [piece.chunk.embedding_text for piece in pieces]
    vectors = await cache.embed(texts, lambda done: progress.advance(task, done))
    task = progress.start("asking", len(questions))
    retrieved = []
    for question in questions:
        similarity = vectors @ (await embedder.embed_query(question.text))[0]
        retrieved.append([pieces[i] for i in np.argsort(-similarity, kind="stable")[:K]])
        progress.advance(task)
    return retrieved


def _scores(question: ExcerptQuestion, pieces: Sequence[Piece], hits: Sequence[Piece]) -> dict[str, float]:
    def ranges(of: Sequence[Piece]) -> list[tuple[int, int]]:
        return [(p.chunk.char_start, p.chunk.char_end) for p in of if p.corpus == question.corpus]

    elsewhere = sum(len(hit.chunk.text) for hit in hits if hit.corpus != question.corpus)
    return coverage_scores(question.excerpts, ranges(hits), elsewhere=elsewhere, every_chunk=ranges(pieces))
