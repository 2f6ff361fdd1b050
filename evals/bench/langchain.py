"""LangChain: the PGVectorStore of langchain-postgres as its documentation starts it, and tuned by its options."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any
from uuid import UUID

import psycopg
from langchain_core.embeddings import Embeddings
from langchain_postgres import Column, PGEngine, PGVectorStore
from langchain_postgres.v2.hybrid_search_config import HybridSearchConfig
from langchain_postgres.v2.indexes import HNSWIndex, HNSWQueryOptions
from pgvector import Vector
from psycopg import sql
from psycopg.types.json import Json
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from app.domain.index import IndexGeneration
from evals.bench.peer_tables import PeerChunk, PeerTable, fill, hnsw, is_filled
from evals.bench.probes import Probe
from evals.bench.synthetic import DIMENSIONS, FIELDS

_FILTERED = ("collection", *FIELDS)


class NoEmbeddings(Embeddings):
    """What its store asks for and never uses here: every search is by vector."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Refuses."""
        raise NotImplementedError

    def embed_query(self, text: str) -> list[float]:
        """Refuses."""
        raise NotImplementedError


class LangChainStore:
    """Searches by vector, with scores, as its retriever does after embedding."""

    def __init__(self, name: str, store: PGVectorStore) -> None:
        self._name = name
        self._store = store

    @property
    def name(self) -> str:
        """What the tables call it."""
        return self._name

    async def search(self, probe: Probe, k: int) -> Sequence[str]:
        """Ids of the best `k` chunks, best first."""
        scope = probe.narrowing
        wanted: dict[str, Any] = {"collection": scope.collection} if scope.collection is not None else {}
        wanted |= {scope.field: "yes"} if scope.field is not None else {}
        found = await self._store.asimilarity_search_with_score_by_vector(probe.numbers, k=k, filter=wanted or None)
        return [str(document.id) for document, _score in found]


@asynccontextmanager
async def open_store(
    url: str, generation: IndexGeneration, chunks: int, *, tuned: bool, ef_search: int
) -> AsyncIterator[LangChainStore]:
    """Its own table filled if need be, and the store over it until the block ends.

    Default: an engine from a connection string, which has a thread and an event loop of its own, and metadata as JSON.
    Tuned: an engine in our loop whose connections iterate in the HNSW index, and a column with an index for each field
    that is filtered by. Half precision is not among its options.
    """
    table = f"bench_langchain_{'tuned' if tuned else 'plain'}"
    driver = make_url(url).set(drivername="postgresql+psycopg")
    if tuned:
        setting = {"options": "-c hnsw.iterative_scan=strict_order"}
        engine = PGEngine.from_engine(create_async_engine(driver, connect_args=setting))
    else:
        engine = PGEngine.from_connection_string(driver)
    columns = _FILTERED if tuned else ()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        filled = await is_filled(connection, table, chunks)
    if not filled:
        typed = [Column(name, "TEXT") for name in columns]
        await engine.ainit_vectorstore_table(table, DIMENSIONS, metadata_columns=list(typed))
        indexes = [
            sql.SQL("CREATE INDEX ON {} ({})").format(sql.Identifier(table), sql.Identifier(name)) for name in columns
        ]
        graph = hnsw(table, "vector_cosine_ops", f"{table}_hnsw")
        await fill(url, generation, _table(table, columns), [graph, *indexes])
    try:
        store = await PGVectorStore.create(
            engine,
            NoEmbeddings(),
            table,
            metadata_columns=list(columns),
            index_query_options=HNSWQueryOptions(ef_search=ef_search),
        )
        yield LangChainStore(f"langchain{', tuned' if tuned else ''}", store)
    finally:
        await engine.close()


async def ingest(url: str, name: str, chunks: Sequence[PeerChunk], config: str, ef_construction: int) -> float:
    """Seconds to add chunks with given vectors to a new store with hybrid search, and to apply its two indexes."""
    engine = PGEngine.from_connection_string(make_url(url).set(drivername="postgresql+psycopg"))
    hybrid = HybridSearchConfig(tsv_column="content_tsv", tsv_lang=f"pg_catalog.{config}", index_name=f"{name}_tsv")
    await engine.ainit_vectorstore_table(name, DIMENSIONS, hybrid_search_config=hybrid)
    store = await PGVectorStore.create(engine, NoEmbeddings(), name, hybrid_search_config=hybrid)
    texts, vectors = [chunk.text for chunk in chunks], [chunk.vector.tolist() for chunk in chunks]
    started = perf_counter()
    await store.aadd_embeddings(texts, vectors, [chunk.metadata for chunk in chunks], [chunk.id for chunk in chunks])
    await store.aapply_vector_index(HNSWIndex(name=f"{name}_hnsw", ef_construction=ef_construction))
    await store.aapply_hybrid_search_index()
    seconds = perf_counter() - started
    await engine.close()
    return seconds


def _table(name: str, columns: Sequence[str]) -> PeerTable:
    def row(chunk: PeerChunk) -> Sequence[object]:
        own = [chunk.metadata[column] for column in columns]
        rest = {key: value for key, value in chunk.metadata.items() if key not in columns}
        return (UUID(chunk.id), chunk.text, Vector(chunk.vector), *own, Json(rest))

    names = ("langchain_id", "content", "embedding", *columns, "langchain_metadata")
    return PeerTable(name, names, ("uuid", "text", "vector", *["text"] * len(columns), "json"), row)
