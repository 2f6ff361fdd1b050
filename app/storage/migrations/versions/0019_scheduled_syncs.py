"""Scheduled syncs that failed: what someone should know of them."""

from alembic import op

revision = "0019"
down_revision = "0018"

UP = """
CREATE TABLE scheduled_sync (
    workspace_id UUID NOT NULL,
    source TEXT NOT NULL,
    collection TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    problem TEXT NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_scheduled_sync PRIMARY KEY (workspace_id, source),
    CONSTRAINT ck_scheduled_sync_state CHECK (state IN ('queued', 'failed')),
    CONSTRAINT fk_scheduled_sync_workspace_id_workspace FOREIGN KEY(workspace_id) REFERENCES workspace (id)
        ON DELETE CASCADE
);
ALTER TABLE scheduled_sync ENABLE ROW LEVEL SECURITY;
ALTER TABLE scheduled_sync FORCE ROW LEVEL SECURITY;
CREATE POLICY workspace ON scheduled_sync
    USING (workspace_id = nullif(current_setting('footnote.workspace_id', true), '')::uuid);
"""
DOWN = "DROP TABLE scheduled_sync;"


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
