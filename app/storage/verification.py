"""Verification: is what was built as good as it should be, and how does it differ from what it replaces."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg import sql

from app.domain.index import IndexGeneration
from app.domain.ports import Vectors
from app.domain.principal import DEFAULT_WORKSPACE_ID
from app.storage.engine import Database, WorkspaceConnection

K = 10
# Chunks of versions that are not current any more: nothing retrieves them, but they would take the place of others.
_STALE = """
SELECT count(*) FROM chunk_embedding e
JOIN chunk c ON c.id = e.chunk_id JOIN document_version v ON v.id = c.document_version_id
WHERE e.generation_id = %s AND v.valid_to IS NOT NULL
"""
_SAMPLE = "SELECT embedding::text FROM chunk_embedding WHERE generation_id = %s ORDER BY random() LIMIT %s"
_NEAREST = """
SELECT embedding::halfvec({dimensions}) <=> %(vector)s::halfvec({dimensions}) AS distance
FROM chunk_embedding WHERE generation_id = {generation}
ORDER BY embedding::halfvec({dimensions}) <=> %(vector)s::halfvec({dimensions}) LIMIT %(k)s
"""
_NEAREST_KEYS = """
SELECT CASE WHEN %(documents)s THEN c.document_id ELSE c.id END
FROM (
    SELECT chunk_id, embedding::halfvec({dimensions}) <=> %(vector)s::halfvec({dimensions}) AS distance
    FROM chunk_embedding WHERE generation_id = {generation} AND collection_id = ANY(ARRAY(SELECT id FROM collection))
    ORDER BY embedding::halfvec({dimensions}) <=> %(vector)s::halfvec({dimensions}) LIMIT %(k)s
) nearest JOIN chunk c ON c.id = nearest.chunk_id
"""
_TITLES = """
SELECT title FROM (
    SELECT DISTINCT title FROM document_version WHERE valid_to IS NULL
    UNION SELECT DISTINCT heading_path[cardinality(heading_path)] FROM chunk WHERE cardinality(heading_path) > 0
) titles WHERE title <> '' ORDER BY random() LIMIT %s
"""
_INDEX_ONLY = {"enable_seqscan": "off", "enable_bitmapscan": "off", "enable_sort": "off"}
_EXACT_ONLY = {"enable_indexscan": "off", "enable_indexonlyscan": "off", "enable_bitmapscan": "off"}
_ROUNDING = 1e-6


async def stale_chunks(database: Database, workspace_id: UUID, generation: IndexGeneration) -> int:
    """Chunks of a workspace in the generation whose version has been replaced."""
    async with database.connection(workspace_id) as connection:
        row = await (await connection.execute(_STALE, (generation.id,))).fetchone()
    return int(row[0]) if row else 0


async def recall(database: Database, generation: IndexGeneration, *, sample: int, ef_search: int) -> float | None:
    """recall@10 of the HNSW index against exact search, over a sample of stored vectors; None when there are none.

    A hit is one that is no farther than the farthest of the exact ten, so that equal vectors stand in for each other.
    """
    async with database.connection(DEFAULT_WORKSPACE_ID) as connection:
        cursor = await connection.execute(_SAMPLE, (generation.id, sample))
        vectors = [row[0] for row in await cursor.fetchall()]
        exact = await _distances(connection, generation, vectors, _EXACT_ONLY)
        await connection.execute("SELECT set_config('hnsw.ef_search', %s, true)", (str(ef_search),))
        found = await _distances(connection, generation, vectors, _INDEX_ONLY)
    wanted = sum(len(distances) for distances in exact)
    hits = sum(sum(d <= e[-1] + _ROUNDING for d in f) for f, e in zip(found, exact, strict=True))
    return hits / wanted if wanted else None


async def titles(database: Database, workspace_id: UUID, sample: int) -> list[str]:
    """Titles of documents and sections of a workspace, to stand for questions."""
    async with database.connection(workspace_id) as connection:
        return [row[0] for row in await (await connection.execute(_TITLES, (sample,))).fetchall()]


async def nearest(
    database: Database, workspace_id: UUID, generation: IndexGeneration, vectors: Sequence[Vectors], *, documents: bool
) -> list[set[UUID]]:
    """For each question's vector the ten nearest chunks of a workspace, or the documents that they belong to."""
    statement = sql.SQL(_NEAREST_KEYS).format(**_literals(generation))
    found = []
    async with database.connection(workspace_id) as connection:
        for vector in vectors:
            cursor = await connection.execute(statement, {"vector": vector, "documents": documents, "k": K})
            found.append({row[0] for row in await cursor.fetchall()})
    return found


async def _distances(
    connection: WorkspaceConnection, generation: IndexGeneration, vectors: Sequence[str], planner: dict[str, str]
) -> list[list[float]]:
    statement, found = sql.SQL(_NEAREST).format(**_literals(generation)), []
    for name, value in planner.items():
        await connection.execute("SELECT set_config(%s, %s, true)", (name, value))
    for vector in vectors:
        cursor = await connection.execute(statement, {"vector": vector, "k": K}, prepare=False)
        found.append([row[0] for row in await cursor.fetchall()])
    for name in planner:
        await connection.execute("SELECT set_config(%s, 'on', true)", (name,))
    return found


def _literals(generation: IndexGeneration) -> dict[str, Any]:
    return {"generation": sql.Literal(generation.id), "dimensions": sql.Literal(generation.dimensions)}
