"""Whether a reranker ordered the passages of an answer, kept with it."""

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.execute("ALTER TABLE message ADD COLUMN reranked BOOLEAN")


def downgrade() -> None:
    op.execute("ALTER TABLE message DROP COLUMN reranked")
