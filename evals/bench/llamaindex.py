"""LlamaIndex: its PGVectorStore as its documentation starts it, and tuned as far as its options go."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

import psycopg
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import FilterOperator, MetadataFilter, MetadataFilters, VectorStoreQuery
from llama_index.core.vector_stores.utils import node_to_metadata_dict
from llama_index.vector_stores.postgres import PGVectorStore
from pgvector import HalfVector, Vector
from psycopg.types.json import Json, Jsonb
from sqlalchemy import create_engine, make_url
from sqlalchemy.ext.asyncio import create_async_engine

from app.domain.index import IndexGeneration
from app.storage.indexes import EF_CONSTRUCTION
from evals.bench.peer_tables import PeerChunk, PeerTable, fill, hnsw, is_filled
from evals.bench.probes import Probe
from evals.bench.synthetic import DIMENSIONS, FIELDS


class LlamaIndexStore:
    """Searches by `aquery`, as its retriever does."""

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
        wanted = [("collection", scope.collection)] if scope.collection is not None else []
        wanted += [(scope.field, "yes")] if scope.field is not None else []
        filters = [MetadataFilter(key=key, value=value, operator=FilterOperator.EQ) for key, value in wanted]
        query = VectorStoreQuery(
            query_embedding=probe.numbers,
            similarity_top_k=k,
            filters=MetadataFilters(filters=list(filters)) if filters else None,
        )
        return (await self._store.aquery(query)).ids or []


@asynccontextmanager
async def open_store(
    url: str, generation: IndexGeneration, chunks: int, *, tuned: bool, ef_search: int
) -> AsyncIterator[LlamaIndexStore]:
    """Its own table filled if need be, and the store over it until the block ends.

    Default: single precision, JSON, HNSW. Tuned: half precision, JSONB, an index on each field that is filtered by,
    and an iterative scan, set on its engines' connections.
    """
    name = f"bench_llama_{'tuned' if tuned else 'plain'}"
    table = f"data_{name}"  # its own prefix
    options = _options(name, tuned=tuned)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        filled = await is_filled(connection, table, chunks)
    if not filled:
        maker = PGVectorStore(**_connections(url), **options)
        await maker.async_add([])  # makes the table
        await maker.close()
        operators = "halfvec_cosine_ops" if tuned else "vector_cosine_ops"
        await fill(url, generation, _table(table, tuned=tuned), [hnsw(table, operators, f"{table}_embedding_idx")])
    graph: dict[str, Any] = {"hnsw_m": 16, "hnsw_ef_construction": EF_CONSTRUCTION, "hnsw_ef_search": ef_search}
    if tuned:
        graph["hnsw_dist_method"] = "halfvec_cosine_ops"
        options |= _engines(url)
    store = PGVectorStore(**_connections(url), **options, hnsw_kwargs=graph)
    try:
        yield LlamaIndexStore(f"llama-index{', tuned' if tuned else ''}", store)
    finally:
        await store.close()


async def ingest(url: str, name: str, chunks: Sequence[PeerChunk], config: str, ef_construction: int) -> float:
    """Seconds of its IngestionPipeline with given vectors, into a new store with hybrid search and HNSW."""
    store = PGVectorStore(
        **_connections(url),
        table_name=name,
        embed_dim=DIMENSIONS,
        hybrid_search=True,
        text_search_config=config,
        use_halfvec=True,
        hnsw_kwargs={
            "hnsw_m": 16,
            "hnsw_ef_construction": ef_construction,
            "hnsw_ef_search": 40,
            "hnsw_dist_method": "halfvec_cosine_ops",
        },
    )
    nodes = [
        TextNode(id_=chunk.id, text=chunk.text, metadata=chunk.metadata, embedding=chunk.vector.tolist())
        for chunk in chunks
    ]
    started = perf_counter()
    await IngestionPipeline(transformations=[], vector_store=store, disable_cache=True).arun(nodes=nodes)
    seconds = perf_counter() - started
    await store.close()
    return seconds


def _options(name: str, *, tuned: bool) -> dict[str, Any]:
    options: dict[str, Any] = {"table_name": name, "embed_dim": DIMENSIONS, "initialization_fail_on_error": True}
    if tuned:
        keys = {(field, "text") for field in ("collection", *FIELDS)}
        options |= {"use_halfvec": True, "use_jsonb": True, "cache_ok": True, "indexed_metadata_keys": keys}
    return options


def _connections(url: str) -> dict[str, str]:
    base = make_url(url)
    both = {"connection_string": "postgresql+psycopg2", "async_connection_string": "postgresql+asyncpg"}
    return {name: base.set(drivername=driver).render_as_string(hide_password=False) for name, driver in both.items()}


def _engines(url: str) -> dict[str, Any]:
    """Engines whose connections iterate in the HNSW index."""
    drivers = _connections(url)
    setting = {"hnsw.iterative_scan": "strict_order"}
    return {
        "engine": create_engine(drivers["connection_string"]),
        "async_engine": create_async_engine(
            drivers["async_connection_string"], connect_args={"server_settings": setting}
        ),
    }


def _table(name: str, *, tuned: bool) -> PeerTable:
    as_json, as_vector = (Jsonb, HalfVector) if tuned else (Json, Vector)

    def row(chunk: PeerChunk) -> Sequence[object]:
        node = TextNode(id_=chunk.id, text=chunk.text, metadata=chunk.metadata)
        metadata = node_to_metadata_dict(node, remove_text=True, flat_metadata=False)
        return (chunk.text, as_json(metadata), chunk.id, as_vector(chunk.vector))

    types = ("varchar", "jsonb" if tuned else "json", "varchar", "halfvec" if tuned else "vector")
    return PeerTable(name, ("text", "metadata_", "node_id", "embedding"), types, row)
