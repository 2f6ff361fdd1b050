"""What filters see of a chunk has every field as a list and names the collection: one look into the index for both."""

from alembic import op

revision = "0005"
down_revision = "0004"

INDEXES = """
SELECT indexname, indexdef FROM pg_indexes
WHERE schemaname = current_schema() AND tablename IN ('chunk_embedding', 'chunk_lexeme') AND indexname ~ '^(hnsw|lexical)_'
"""
FORM = """
CREATE FUNCTION filter_form(metadata jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(
        jsonb_object_agg(key, CASE jsonb_typeof(value) WHEN 'array' THEN value ELSE jsonb_build_array(value) END), '{}'
    )
    FROM jsonb_each(metadata)
$$
"""
UP = "filter_form(metadata || jsonb_build_object('collection_id', collection_id))"
# A list of one was a value or a list of one; filters take both alike.
DOWN = """(
    SELECT coalesce(jsonb_object_agg(
        key, CASE jsonb_array_length(value) WHEN 1 THEN value -> 0 ELSE value END
    ), '{}') FROM jsonb_each(metadata - 'collection_id')
)"""


def upgrade() -> None:
    op.execute(FORM)
    # The tables are written anew: an UPDATE would leave rows of the old form in them until the transaction ends, and
    # migration 0017, in the same one, builds an index of all that is there.
    _every_row(f"ALTER TABLE {{table}} ALTER COLUMN metadata TYPE jsonb USING {UP}")


def downgrade() -> None:
    _every_row(f"UPDATE {{table}} SET metadata = {DOWN}")  # noqa: S608 - constants
    op.execute("DROP FUNCTION filter_form")


def _every_row(statement: str) -> None:
    """The large indexes are built anew afterwards, which is faster than to add every row to them."""
    indexes = op.get_bind().exec_driver_sql(INDEXES).fetchall()
    for name, _ in indexes:
        op.execute(f"DROP INDEX {name}")
    for table in ("chunk_embedding", "chunk_lexeme"):
        op.execute(statement.replace("{table}", table))
    for _, definition in indexes:
        op.execute(definition)
