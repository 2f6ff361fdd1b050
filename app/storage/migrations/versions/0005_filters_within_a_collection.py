"""What filters see of a chunk names its collection, so that one index narrows to both."""

from alembic import op

revision = "0005"
down_revision = "0004"

INDEXES = """
SELECT indexname, indexdef FROM pg_indexes
WHERE schemaname = current_schema() AND tablename IN ('chunk_embedding', 'chunk_lexeme') AND indexname ~ '^(hnsw|lexical)_'
"""
UP = "metadata || jsonb_build_object('collection_id', collection_id)"
DOWN = "metadata - 'collection_id'"


def upgrade() -> None:
    _every_row(UP)


def downgrade() -> None:
    _every_row(DOWN)


def _every_row(metadata: str) -> None:
    """The large indexes are built anew afterwards, which is faster than to add every row to them."""
    indexes = op.get_bind().exec_driver_sql(INDEXES).fetchall()
    for name, _ in indexes:
        op.execute(f"DROP INDEX {name}")
    for table in ("chunk_embedding", "chunk_lexeme"):
        op.execute(f"UPDATE {table} SET metadata = {metadata}")  # noqa: S608 - constants
    for _, definition in indexes:
        op.execute(definition)
