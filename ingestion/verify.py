"""Verify: the figures that a new index generation must show before it takes over."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from app.domain.index import IndexGeneration
from app.domain.ports import Embedder, Vectors
from app.domain.principal import DEFAULT_WORKSPACE_ID
from app.storage.building import total_progress
from app.storage.engine import Database
from app.storage.lexemes import chunks_without_words, wrong_statistics
from app.storage.verification import nearest, recall, stale_chunks, titles

SAMPLE = 50  # stored vectors that stand for questions when recall is measured
QUESTIONS = 20  # titles of each workspace that stand for questions when ranks are compared
LEAST_RECALL = 0.95


@dataclass(slots=True)
class Verification:
    """What was found; `problems` is empty when the generation may take over.

    `overlap_at_10` is the share of the ten nearest that are the same as in the live generation (chunks when both have
    the same chunker, documents otherwise); None when the live one's embedder is not at hand. It is reported only.
    """

    documents: int
    incomplete: int
    chunks: int
    without_words: int
    wrong_statistics: int
    stale: int
    recall_at_10: float | None
    overlap_at_10: float | None = None
    problems: list[str] = field(default_factory=list)


async def verify(
    database: Database,
    workspaces: Sequence[UUID],
    new: tuple[IndexGeneration, Embedder],
    live: tuple[IndexGeneration, Embedder | None],
    *,
    ef_search: int,
) -> Verification:
    """Count, measure recall@10 at `ef_search` against exact search, and compare ranks with the live generation.

    Documents written since the last pass are no problem: the pass before the flip takes them.
    """
    generation, embedder = new
    total = await total_progress(database, generation, workspaces)
    async with database.connection(DEFAULT_WORKSPACE_ID) as connection:
        without_words = await chunks_without_words(connection, generation.id)
        wrong = await wrong_statistics(connection, generation.id)
    found = Verification(
        documents=total.documents,
        incomplete=total.pending,
        chunks=total.chunks,
        without_words=without_words,
        wrong_statistics=wrong,
        stale=sum([await stale_chunks(database, workspace_id, generation) for workspace_id in workspaces]),
        recall_at_10=await recall(database, generation, sample=SAMPLE, ef_search=ef_search),
    )
    if live[1] is not None:
        found.overlap_at_10 = await _overlap(database, workspaces, (generation, embedder), (live[0], live[1]))
    found.problems = _problems(found)
    return found


def _problems(found: Verification) -> list[str]:
    problems = []
    if found.without_words:
        problems.append(f"{found.without_words} chunks have no words in the lexical index")
    if found.wrong_statistics:
        problems.append(f"{found.wrong_statistics} counts of BM25 are not those of its words")
    if found.stale:
        problems.append(f"{found.stale} chunks belong to versions that were replaced")
    if found.recall_at_10 is not None and found.recall_at_10 < LEAST_RECALL:
        problems.append(f"recall@10 of its HNSW index is {found.recall_at_10:.3f}, less than {LEAST_RECALL}")
    return problems


async def _overlap(
    database: Database,
    workspaces: Sequence[UUID],
    new: tuple[IndexGeneration, Embedder],
    live: tuple[IndexGeneration, Embedder],
) -> float | None:
    documents, shares = new[0].chunker != live[0].chunker, list[float]()
    for workspace_id in workspaces:
        questions = await titles(database, workspace_id, QUESTIONS)
        found = [
            await nearest(
                database, workspace_id, generation, await _questions(embedder, questions), documents=documents
            )
            for generation, embedder in (new, live)
        ]
        shares += [len(a & b) / max(len(a), len(b)) for a, b in zip(*found, strict=True) if a or b]
    return sum(shares) / len(shares) if shares else None


async def _questions(embedder: Embedder, questions: Sequence[str]) -> list[Vectors]:
    return [(await embedder.embed_query(question))[0] for question in questions]
