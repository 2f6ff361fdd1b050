"""Lexemes: the words of chunks, as numbers that an index and a score can use (migration 0002)."""

from uuid import UUID

from psycopg import sql

from app.storage.engine import WorkspaceConnection
from app.storage.filters import FILTERABLE

# The heading path counts as words of the chunk, as it does for its embedding.
_INSERT = """
INSERT INTO chunk_lexeme (chunk_id, generation_id, collection_id, config, length, terms, impacts, metadata)
SELECT c.id, %(generation)s, c.collection_id, v.text_search_config, r.length, r.terms, r.impacts, {filterable}
FROM document_version v JOIN chunk c ON c.document_version_id = v.id AND c.chunker = %(chunker)s
JOIN document o ON o.id = v.document_id,
    lexical_row(c.collection_id, v.text_search_config, array_to_string(c.heading_path, ' ') || ' ' || c.text) r
WHERE v.id = ANY(%(versions)s)
"""
_STATEMENT = sql.SQL(_INSERT).format(filterable=FILTERABLE)


async def index_words(
    connection: WorkspaceConnection, generation_id: int, chunker: str, version_ids: list[UUID]
) -> None:
    """Index the words of the versions' chunks for a generation; the statistics of BM25 go along."""
    await connection.execute(_STATEMENT, {"generation": generation_id, "chunker": chunker, "versions": version_ids})
