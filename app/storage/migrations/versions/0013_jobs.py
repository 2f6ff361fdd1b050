"""Jobs: files that were uploaded and wait for a worker, and procrastinate's queue in a schema of its own."""

from alembic import op
from procrastinate.schema import SchemaManager

revision = "0013"
down_revision = "0012"

UP = """
CREATE TABLE job (
    id UUID NOT NULL,
    workspace_id UUID NOT NULL,
    state TEXT DEFAULT 'queued' NOT NULL,
    collection TEXT NOT NULL,
    name TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    sha256 BYTEA NOT NULL,
    title TEXT,
    metadata JSONB DEFAULT '{}' NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    document_id UUID,
    chunks INTEGER,
    problem TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_job PRIMARY KEY (id),
    CONSTRAINT ck_job_state CHECK (state IN ('queued', 'running', 'done', 'failed')),
    CONSTRAINT fk_job_workspace_id_workspace FOREIGN KEY(workspace_id) REFERENCES workspace (id) ON DELETE CASCADE,
    CONSTRAINT fk_job_document_id_document FOREIGN KEY(document_id) REFERENCES document (id) ON DELETE SET NULL
);
CREATE INDEX ix_job_collection_name_id ON job (collection, name, id);
CREATE INDEX ix_job_document_id ON job (document_id);
ALTER TABLE job ENABLE ROW LEVEL SECURITY;
ALTER TABLE job FORCE ROW LEVEL SECURITY;
CREATE POLICY workspace ON job
    USING (workspace_id = nullif(current_setting('footnote.workspace_id', true), '')::uuid);
CREATE SCHEMA queue;
"""
DOWN = "DROP SCHEMA queue CASCADE; DROP TABLE job;"


def upgrade() -> None:
    op.execute(UP)
    # many statements, with percent signs and colons: straight to the driver
    cursor = op.get_bind().connection.cursor()
    cursor.execute("SELECT set_config('search_path', 'queue', true)")
    cursor.execute(SchemaManager.get_schema())
    cursor.execute("SET LOCAL search_path TO DEFAULT")


def downgrade() -> None:
    op.execute(DOWN)
