"""What syncing needs: where documents come from, hashes by which embeddings are used again, and duplicates."""

from alembic import op

revision = "0007"
down_revision = "0011"

UP = """
ALTER TABLE document ADD COLUMN source TEXT, ADD COLUMN source_stamp TEXT, ADD COLUMN text_key UUID,
    ADD COLUMN duplicate_of UUID CONSTRAINT fk_document_duplicate_of_document REFERENCES document (id);
CREATE INDEX ix_document_duplicate_of ON document (duplicate_of) WHERE duplicate_of IS NOT NULL;
CREATE INDEX ix_document_text_key ON document (collection_id, text_key) WHERE duplicate_of IS NULL;
ALTER TABLE chunk ADD COLUMN text_hash UUID;
"""

# As app.domain.document.Chunk.text_hash, in every workspace: the owner of the table sees past its policies here.
BACKFILL = """
ALTER TABLE chunk NO FORCE ROW LEVEL SECURITY;
UPDATE chunk SET text_hash = encode(substring(sha256(convert_to(
    CASE WHEN cardinality(heading_path) > 0 THEN array_to_string(heading_path, ' › ') || chr(10) ELSE '' END || text,
    'UTF8')) FOR 16), 'hex')::uuid;
ALTER TABLE chunk ALTER COLUMN text_hash SET NOT NULL;
ALTER TABLE chunk FORCE ROW LEVEL SECURITY;
CREATE INDEX ix_chunk_text_hash ON chunk (text_hash);
"""

# A duplicate has no chunks of its own; without the column it would be a document that nothing finds.
DOWN = """
ALTER TABLE chunk DROP COLUMN text_hash;
ALTER TABLE document NO FORCE ROW LEVEL SECURITY;
DELETE FROM document WHERE duplicate_of IS NOT NULL;
ALTER TABLE document FORCE ROW LEVEL SECURITY;
ALTER TABLE document DROP COLUMN source, DROP COLUMN source_stamp, DROP COLUMN text_key, DROP COLUMN duplicate_of;
"""


def upgrade() -> None:
    op.execute(UP)
    op.execute(BACKFILL)


def downgrade() -> None:
    op.execute(DOWN)
