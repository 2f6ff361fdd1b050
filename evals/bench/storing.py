"""Storing: chunks with given vectors into PostgreSQL until they can be searched, by Footnote and by other ways."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any
from uuid import UUID, uuid4

import psycopg
from pgvector import HalfVector
from pgvector.psycopg import register_vector_async
from psycopg import sql

from app.domain.index import IndexGeneration
from app.domain.principal import DEFAULT_WORKSPACE_ID
from app.storage.additions import add_documents
from app.storage.chunks import copy_chunks, copy_vectors
from app.storage.documents import DocumentStore
from app.storage.engine import Database
from app.storage.first_load import FirstLoad
from app.storage.generations import ensure_generation
from app.storage.indexes import EF_CONSTRUCTION, build_indexes, build_memory_mb, drop_indexes
from app.storage.lexemes import WORD_TABLES, add_up, index_words
from app.storage.maintenance import analyze, maintenance
from app.storage.versions import NewVersion, insert_versions, owner_of
from evals.bench import langchain, llamaindex
from evals.bench.peer_tables import PeerChunk, hnsw
from evals.bench.synthetic import DIMENSIONS
from ingestion.writing import WRITTEN_CHUNKS, Writing

COLLECTION, CONFIG = "bench", "english"
_TABLE = "bench_bare"


@dataclass(frozen=True, slots=True)
class Target:
    """Where to store: an embedded PostgreSQL with Footnote's schema."""

    url: str
    database: Database


Contestant = Callable[[Target, Sequence[NewVersion]], Awaitable[float]]


async def ours(target: Target, versions: Sequence[NewVersion]) -> float:
    """Seconds of the writer of ingestion: documents, versions, chunks, vectors, words, statistics and both indexes."""
    generation, collection_id = await _emptied(target.database)
    store, started = DocumentStore(target.database), perf_counter()
    async with FirstLoad(target.database, generation) as load:
        await load.begin(len(versions))
        async with asyncio.TaskGroup() as tasks:
            writing = Writing(tasks, store, load, DEFAULT_WORKSPACE_ID, collection_id, generation)
            for batch in batches(versions):
                await writing.room()
                await writing.begin(batch, alone=False)
        await load.finish()
    return perf_counter() - started


async def bare(target: Target, versions: Sequence[NewVersion]) -> float:
    """Seconds of one binary COPY into one table (id, text, halfvec) and the same two kinds of index built after it."""
    async with await psycopg.AsyncConnection.connect(target.url, autocommit=True) as connection:
        await register_vector_async(connection)
        table = sql.Identifier(_TABLE)
        await connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
        columns = sql.SQL("id uuid PRIMARY KEY, text text, embedding halfvec({})").format(sql.Literal(DIMENSIONS))
        await connection.execute(sql.SQL("CREATE TABLE {} ({})").format(table, columns))
        started = perf_counter()
        async with connection.cursor().copy(
            sql.SQL("COPY {} (id, text, embedding) FROM STDIN (FORMAT binary)").format(table)
        ) as copy:
            copy.set_types(["uuid", "text", "halfvec"])
            for new in versions:
                for chunk, vector in zip(new.chunks, new.vectors, strict=True):
                    await copy.write_row((uuid4(), chunk.text, HalfVector(vector)))
        rows = sum(len(new.chunks) for new in versions)
        memory = f"{build_memory_mb(rows, DIMENSIONS)}MB"
        await connection.execute("SELECT set_config('maintenance_work_mem', %s, false)", (memory,))
        for index in (
            hnsw(_TABLE, "halfvec_cosine_ops", f"{_TABLE}_hnsw"),
            sql.SQL("CREATE INDEX ON {} USING gin (to_tsvector({}, text))").format(table, sql.Literal(CONFIG)),
            sql.SQL("ANALYZE {}").format(table),
        ):
            await connection.execute(index)
        return perf_counter() - started


async def llamaindex_store(target: Target, versions: Sequence[NewVersion]) -> float:
    """Seconds of LlamaIndex's IngestionPipeline into its PGVectorStore."""
    table = f"llama_{uuid4().hex[:8]}"
    seconds = await llamaindex.ingest(target.url, table, given(versions), CONFIG, EF_CONSTRUCTION)
    await _expect(target, f"data_{table}", versions)
    return seconds


async def langchain_store(target: Target, versions: Sequence[NewVersion]) -> float:
    """Seconds of LangChain's PGVectorStore."""
    table = f"langchain_{uuid4().hex[:8]}"
    seconds = await langchain.ingest(target.url, table, given(versions), CONFIG, EF_CONSTRUCTION)
    await _expect(target, table, versions)
    return seconds


def given(versions: Sequence[NewVersion]) -> list[PeerChunk]:
    """The chunks as peers take them."""
    return [
        PeerChunk(str(uuid4()), chunk.text, {"uri": new.uri}, vector)
        for new in versions
        for chunk, vector in zip(new.chunks, new.vectors, strict=True)
    ]


async def costs(target: Target, versions: Sequence[NewVersion]) -> dict[str, float]:
    """Seconds of each part of what `ours` does, measured one after another on the same batches."""
    generation, collection_id = await _emptied(target.database)
    seconds = dict[str, float]()

    async def timed(what: str, work: Awaitable[Any]) -> Any:
        started = perf_counter()
        try:
            return await work
        finally:
            seconds[what] = seconds.get(what, 0.0) + perf_counter() - started

    async with maintenance(target.database) as alone:
        await drop_indexes(alone, generation)
        for batch in batches(versions):
            started = perf_counter()
            before = sum(seconds.values())
            async with target.database.connection(DEFAULT_WORKSPACE_ID) as connection:
                added = await timed(
                    "documents and versions",
                    add_documents(connection, DEFAULT_WORKSPACE_ID, collection_id, batch),
                )
                written = [
                    (owner_of(DEFAULT_WORKSPACE_ID, collection_id, document_id, new), new)
                    for document_id, new in added.stored
                ]
                await timed("documents and versions", insert_versions(connection, written))
                owned = [(owner, chunk) for owner, new in written for chunk in new.chunks]
                vectors = [vector for _, new in written for vector in new.vectors]
                ids = await timed("chunks (COPY)", copy_chunks(connection, generation.chunker, owned))
                rows = [(i, owner, chunk, v) for i, (owner, chunk), v in zip(ids, owned, vectors, strict=True)]
                await timed("vectors (COPY)", copy_vectors(connection, generation.id, rows))
                await timed("words, weights, statistics", index_words(connection, generation.id, ids))
            rest = perf_counter() - started - (sum(seconds.values()) - before)
            seconds["commit, and the rest"] = seconds.get("commit, and the rest", 0.0) + rest
        async with target.database.connection(DEFAULT_WORKSPACE_ID) as connection:
            await timed("words, weights, statistics", add_up(connection, generation.id))
        for kind, name in (("hnsw", "HNSW index"), ("lexical", "index of words (GIN)")):
            await timed(name, build_indexes(alone, generation, [kind]))
        await timed("ANALYZE", analyze(alone))
    return seconds


def batches(versions: Sequence[NewVersion]) -> list[list[NewVersion]]:
    """As the pipeline gathers those that wait to be written."""
    found, size = [list[NewVersion]()], 0
    for new in versions:
        if found[-1] and size + len(new.chunks) > WRITTEN_CHUNKS:
            found.append([])
            size = 0
        found[-1].append(new)
        size += len(new.chunks)
    return found


async def _emptied(database: Database) -> tuple[IndexGeneration, UUID]:
    """A generation with its indexes, and an empty collection."""
    generation = await ensure_generation(database, embedder="given", dimensions=DIMENSIONS, chunker="given")
    collection_id = await DocumentStore(database).ensure_collection(DEFAULT_WORKSPACE_ID, COLLECTION)
    async with database.connection(DEFAULT_WORKSPACE_ID) as connection:
        await connection.execute("DELETE FROM document WHERE collection_id = %s", (collection_id,))
    async with maintenance(database) as alone:
        for table in ("document", "document_version", "chunk", "chunk_embedding", *WORD_TABLES):
            await alone.execute(sql.SQL("VACUUM (TRUNCATE) {}").format(sql.Identifier(table)))
    return generation, collection_id


async def _expect(target: Target, table: str, versions: Sequence[NewVersion]) -> None:
    """See that all rows are there, and let them go."""
    async with await psycopg.AsyncConnection.connect(target.url, autocommit=True) as connection:
        name, rows = sql.Identifier(table), sum(len(new.chunks) for new in versions)
        counted = await (await connection.execute(sql.SQL("SELECT count(*) FROM {}").format(name))).fetchone()
        if counted != (rows,):
            raise RuntimeError(f"{table} has {counted} rows, not {rows}")
        await connection.execute(sql.SQL("DROP TABLE {}").format(name))
