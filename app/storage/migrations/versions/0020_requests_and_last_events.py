"""What an answer's protocol repeats of its request, and the id of an answer's last event, kept with the run."""

from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.execute("ALTER TABLE run ADD COLUMN request JSONB, ADD COLUMN last_event INTEGER")


def downgrade() -> None:
    op.execute("ALTER TABLE run DROP COLUMN request, DROP COLUMN last_event")
