"""Feedback: what readers said of answers."""

from alembic import op

revision = "0014"
down_revision = "0013"

UP = """
CREATE TABLE feedback (
    message_id UUID NOT NULL,
    principal TEXT NOT NULL,
    workspace_id UUID NOT NULL,
    rating TEXT NOT NULL,
    comment TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_feedback PRIMARY KEY (message_id, principal),
    CONSTRAINT ck_feedback_rating CHECK (rating IN ('up', 'down')),
    CONSTRAINT fk_feedback_workspace_id_workspace FOREIGN KEY(workspace_id) REFERENCES workspace (id) ON DELETE CASCADE,
    CONSTRAINT fk_feedback_message_id_message FOREIGN KEY(message_id) REFERENCES message (id) ON DELETE CASCADE
);
ALTER TABLE feedback ENABLE ROW LEVEL SECURITY;
ALTER TABLE feedback FORCE ROW LEVEL SECURITY;
CREATE POLICY workspace ON feedback
    USING (workspace_id = nullif(current_setting('footnote.workspace_id', true), '')::uuid);
"""
DOWN = "DROP TABLE feedback;"


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
