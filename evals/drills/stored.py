"""Stored: what an installation holds, to compare it with another's."""

import json
from typing import Any

import numpy as np
import psycopg

from app.domain.principal import DEFAULT_WORKSPACE_ID
from app.settings import Settings

ALIKE = 0.99  # cosine of one text's vectors; those of the packaged embedder depend a little on the machine

# Of current versions without a chunk, vector or row of words that they should have, and of chunks of old versions.
HALF = """
SELECT count(*) FROM document_version v LEFT JOIN chunk c ON c.document_version_id = v.id
WHERE (v.valid_to IS NULL) <> (c.id IS NOT NULL AND EXISTS (SELECT FROM chunk_embedding e WHERE e.chunk_id = c.id)
    AND EXISTS (SELECT FROM chunk_lexeme l WHERE l.chunk_id = c.id))
"""
TEXTS = """
SELECT DISTINCT CASE WHEN cardinality(heading_path) > 0 THEN array_to_string(heading_path, ' › ') || chr(10) ELSE '' END
    || text FROM chunk
"""
LARGEST = "SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM chunk GROUP BY document_version_id) counted"
# A duplicate shows what stands for it; which of them that is depends on what came first.
STORE = """
SELECT o.source_uri, o.content_hash, v.text, c.ordinal, c.heading_path, c.char_start, c.char_end, c.page,
    c.token_count, c.text, c.space_after, l.config::text, l.length,
    e.metadata - 'collection_id' - 'document_id' - 'source_uri' - 'title', e.embedding::text
FROM document o
JOIN document_version v ON v.document_id = coalesce(o.duplicate_of, o.id) AND v.valid_to IS NULL
JOIN chunk c ON c.document_version_id = v.id
JOIN chunk_embedding e ON e.chunk_id = c.id JOIN chunk_lexeme l ON l.chunk_id = c.id
ORDER BY o.source_uri, c.ordinal
"""


def rows(settings: Settings, query: str) -> list[tuple[Any, ...]]:
    """What a query finds."""
    assert settings.database_url is not None  # noqa: S101 - `connected` sets it
    with psycopg.connect(settings.database_url.get_secret_value(), autocommit=True) as connection:
        connection.execute("SELECT set_config('footnote.workspace_id', %s, false)", (str(DEFAULT_WORKSPACE_ID),))
        return connection.execute(query).fetchall()


def different(ended: list[tuple[Any, ...]], wanted: list[tuple[Any, ...]]) -> int:
    """How many rows are not the same in both."""
    pairs = zip(ended, wanted, strict=False)
    unequal = sum(one[:-1] != other[:-1] or not _alike(one[-1], other[-1]) for one, other in pairs)
    return unequal + abs(len(ended) - len(wanted))


def _alike(one: str, other: str) -> bool:
    if one == other:
        return True
    first, second = (np.array(json.loads(vector)) for vector in (one, other))
    return bool(first @ second > ALIKE * np.linalg.norm(first) * np.linalg.norm(second))
