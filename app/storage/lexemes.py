"""Lexemes: the words of chunks in a generation's lexical index."""

from collections.abc import Sequence
from uuid import UUID

from app.storage.engine import WorkspaceConnection

WORD_TABLES = ("chunk_lexeme",)
"""Where the words are."""

# The heading path is indexed as words too, with a higher weight.
_INDEX = """
INSERT INTO chunk_lexeme (chunk_id, generation_id, collection_id, tsv)
SELECT c.id, %(generation)s, c.collection_id,
    setweight(to_tsvector(v.text_search_config, array_to_string(c.heading_path, ' ')), 'A')
    || to_tsvector(v.text_search_config, c.text)
FROM chunk c JOIN document_version v ON v.id = c.document_version_id
WHERE c.id = ANY(%(chunks)s)
"""
_WITHOUT = """
SELECT count(*) FROM chunk_embedding e
WHERE e.generation_id = %(generation)s
    AND NOT EXISTS (SELECT FROM chunk_lexeme l WHERE l.chunk_id = e.chunk_id AND l.generation_id = %(generation)s)
"""


async def index_words(connection: WorkspaceConnection, generation_id: int, chunk_ids: Sequence[UUID]) -> None:
    """Index the words of stored chunks, each in its version's text search configuration."""
    await connection.execute(_INDEX, {"generation": generation_id, "chunks": list(chunk_ids)})


async def chunks_without_words(connection: WorkspaceConnection, generation_id: int) -> int:
    """How many chunks of any workspace have a vector in the generation, but no words."""
    row = await (await connection.execute(_WITHOUT, {"generation": generation_id})).fetchone()
    return int(row[0]) if row else 0
