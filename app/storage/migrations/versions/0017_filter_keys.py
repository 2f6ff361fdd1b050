"""Filters: an index of (generation, collection, field, value) as 64-bit keys, in place of one of the metadata's JSON.

What it brings is within a collection and needs no second look (docs/decisions/0029).
"""

from alembic import op

revision = "0017"
down_revision = "0016"

# Of metadata in filter form (migration 0005). Numbers that are equal have one key, whatever they look like; a list within
# a list, which no filter finds, has none (it would have that of its element). The index is built and kept with an empty
# search_path: nothing here may be of ours.
UP = """
CREATE FUNCTION filter_keys(generation int, collection uuid, metadata jsonb) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_agg(
        jsonb_hash_extended(held.value, hashtextextended(field.key, uuid_hash_extended(collection, generation)))
    )
    FROM jsonb_each(metadata) field, jsonb_array_elements(field.value) held(value)
    WHERE jsonb_typeof(held.value) NOT IN ('array', 'object')
$$;
CREATE INDEX ix_chunk_embedding_keys ON chunk_embedding
    USING gin (filter_keys(generation_id, collection_id, metadata));
DROP INDEX ix_chunk_embedding_metadata;
"""
DOWN = """
CREATE INDEX ix_chunk_embedding_metadata ON chunk_embedding USING gin (metadata jsonb_path_ops);
DROP INDEX ix_chunk_embedding_keys;
DROP FUNCTION filter_keys;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
