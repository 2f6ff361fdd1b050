"""A conversation can have a name that a client gave it."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("conversation", sa.Column("thread", sa.Text()))
    op.create_unique_constraint(None, "conversation", ["workspace_id", "thread"])


def downgrade() -> None:
    op.drop_column("conversation", "thread")
