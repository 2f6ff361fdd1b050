"""Chunk contexts: collections that have them, the line of each chunk, and the lines that were written before."""

from alembic import op

revision = "0015"
down_revision = "0014"

UP = """
ALTER TABLE collection ADD COLUMN contexts BOOLEAN DEFAULT false NOT NULL;
ALTER TABLE chunk ADD COLUMN context TEXT;
CREATE TABLE chunk_context (
    collection_id UUID NOT NULL,
    source_uri TEXT NOT NULL,
    key UUID NOT NULL,
    workspace_id UUID NOT NULL,
    asked UUID NOT NULL,
    context TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_chunk_context PRIMARY KEY (collection_id, source_uri, key),
    CONSTRAINT fk_chunk_context_workspace_id_workspace FOREIGN KEY(workspace_id) REFERENCES workspace (id) ON DELETE CASCADE,
    CONSTRAINT fk_chunk_context_collection_id_collection FOREIGN KEY(collection_id) REFERENCES collection (id) ON DELETE CASCADE
);
CREATE INDEX ix_chunk_context_asked ON chunk_context (asked);
ALTER TABLE chunk_context ENABLE ROW LEVEL SECURITY;
ALTER TABLE chunk_context FORCE ROW LEVEL SECURITY;
CREATE POLICY workspace ON chunk_context
    USING (workspace_id = nullif(current_setting('footnote.workspace_id', true), '')::uuid);
"""

# Vectors made with a context would pass for those of the text alone, so they go; `footnote reindex` writes them anew.
# The hash becomes that of the text, as in migration 0007.
DOWN = """
ALTER TABLE chunk NO FORCE ROW LEVEL SECURITY;
DELETE FROM chunk_embedding WHERE chunk_id IN (SELECT id FROM chunk WHERE context <> '');
DELETE FROM chunk_lexeme WHERE chunk_id IN (SELECT id FROM chunk WHERE context <> '');
UPDATE chunk SET text_hash = encode(substring(sha256(convert_to(
    CASE WHEN cardinality(heading_path) > 0 THEN array_to_string(heading_path, ' › ') || chr(10) ELSE '' END || text,
    'UTF8')) FOR 16), 'hex')::uuid WHERE context <> '';
ALTER TABLE chunk FORCE ROW LEVEL SECURITY;
DROP TABLE chunk_context;
ALTER TABLE chunk DROP COLUMN context;
ALTER TABLE collection DROP COLUMN contexts;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
