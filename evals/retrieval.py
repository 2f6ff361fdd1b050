"""Retrieval: the suite `beir:`, quality and latency of one leg on one data set."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import cast

from app.bootstrap import make_reranking, make_retrieval
from app.domain.passage import Leg
from app.domain.principal import Principal
from app.providers.embedder import make_embedder
from app.settings import Settings
from app.storage.engine import Database
from app.storage.exact import exact_vectors
from app.storage.revision import require_current
from evals.corpus import IndexedCorpus, chunking_name, collection_name, index_corpus
from evals.datasets.beir import BeirDataset, load_beir
from evals.exact import search_exactly
from evals.metrics.ranking import rank_scores
from evals.progress import Progress
from evals.report import Report
from evals.runner import Found, K, QueryVectors, percentile, run_queries
from evals.settings_read import SettingsRead

_TOP = 10


@dataclass(frozen=True, slots=True)
class RetrievalSuite:
    """What to measure: a BEIR folder, a leg, and how.

    With `rerank` the configured reranker orders what the leg found.
    """

    folder: Path
    leg: Leg
    limit: int | None = None
    concurrency: int = 1
    collection: str | None = None
    rechunk: bool = False
    rerank: bool = False

    @property
    def name(self) -> str:
        """The leg's, as it is asked for."""
        return f"{self.leg}+rerank" if self.rerank else self.leg


async def run_retrieval(settings: Settings, suite: RetrievalSuite, progress: Progress) -> Report:
    """Ingest what is missing, run the queries, score. `settings.database_url` must be set.

    Raises InvalidInput (a malformed folder), EmbedderMismatch, DatabaseUnavailable, ProviderError.
    """
    assert settings.database_url is not None  # noqa: S101 - `connected` sets it
    dataset, noted = load_beir(suite.folder), SettingsRead(settings)
    read = cast("Settings", noted)
    async with AsyncExitStack() as stack:
        embedder = make_embedder(read)
        stack.push_async_callback(embedder.close)
        database = Database(settings.database_url.get_secret_value(), pool_size=max(4, suite.concurrency))
        await database.open()
        stack.push_async_callback(database.close)
        await require_current(database)
        chunking = chunking_name(settings, rechunk=suite.rechunk)
        collection = suite.collection or collection_name(dataset, embedder, chunking)
        corpus = await index_corpus(
            settings, database, embedder, dataset, progress, collection=collection, rechunk=suite.rechunk
        )
        queries = dict(islice(dataset.queries.items(), suite.limit))
        vectors = QueryVectors(embedder)
        await vectors.learn(list(queries.values()), progress)
        reranking = make_reranking(read) if suite.rerank else None
        if reranking is not None:
            stack.push_async_callback(reranking.close)
        retrieval = make_retrieval(read, database, vectors, reranking)
        found = await run_queries(retrieval, queries, collection, suite.leg, progress, concurrency=suite.concurrency)
        report = _report(suite, dataset, corpus, vectors, found)
        if suite.leg == "dense":
            await _add_exact(report, database, corpus, vectors, queries, found, dataset)
    report["settings"] = noted.so_far() | {
        "collection": collection,
        "chunking": chunking,
        "embedder_name": embedder.name,
        "k": K,
        "concurrency": suite.concurrency,
        "limit": suite.limit,
    }
    report["per_query"] = report.pop("per_query")  # last, because it is long
    return report


def _report(
    suite: RetrievalSuite,
    dataset: BeirDataset,
    corpus: IndexedCorpus,
    vectors: QueryVectors,
    found: dict[str, Found],
) -> Report:
    metrics, per_query = rank_scores(
        {query: dataset.qrels[query] for query in found}, {query: hits.documents for query, hits in found.items()}
    )
    ms = [hits.ms for hits in found.values()]
    return {
        "suite": f"beir:{dataset.name}",
        "fingerprint": dataset.suite_fingerprint,
        "leg": suite.name,
        "corpus": {
            "documents": corpus.documents,
            "chunks": corpus.chunks,
            "fingerprint": dataset.fingerprint,
        },
        "queries": len(found),
        "metrics": metrics,
        **({"not_reranked": sum(not hits.reranked for hits in found.values())} if suite.rerank else {}),
        "latency_ms": {
            "p50": percentile(ms, 50),
            "p95": percentile(ms, 95),
            "embed_p50": percentile(vectors.ms, 50),
        },
        "per_query": {
            query: {
                "question": dataset.queries[query],
                **per_query[query],
                "hits": hits.documents[:_TOP],
                "ms": hits.ms,
            }
            for query, hits in found.items()
        },
    }


async def _add_exact(
    report: Report,
    database: Database,
    corpus: IndexedCorpus,
    vectors: QueryVectors,
    queries: dict[str, str],
    found: dict[str, Found],
    dataset: BeirDataset,
) -> None:
    """What the index lost against a scan of every vector."""
    stored = await exact_vectors(database, Principal().workspace_id, corpus.generation, corpus.collection_id)
    embedded = {query: (await vectors.embed_query(text))[0] for query, text in queries.items()}
    exact = search_exactly(stored, embedded, found)
    metrics, _ = rank_scores({query: dataset.qrels[query] for query in queries}, exact.documents)
    report["exact_search"] = {
        "recall@10": sum(exact.recall.values()) / len(exact.recall),
        "ndcg@10": metrics["ndcg@10"],
    }
    for query, recall in exact.recall.items():
        report["per_query"][query]["exact_recall@10"] = recall
