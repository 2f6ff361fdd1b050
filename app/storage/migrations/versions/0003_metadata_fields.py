"""The fields of documents' metadata and the types they have held, which filters are checked against."""

from alembic import op

revision = "0003"
down_revision = "0002"

TABLE = """
CREATE TABLE metadata_field (
    workspace_id UUID NOT NULL,
    name TEXT NOT NULL,
    kinds TEXT[] NOT NULL,
    CONSTRAINT pk_metadata_field PRIMARY KEY (workspace_id, name),
    CONSTRAINT fk_metadata_field_workspace_id_workspace FOREIGN KEY(workspace_id) REFERENCES workspace (id) ON DELETE CASCADE
);
"""

# What is stored already, in every workspace: the owner of the table sees past its policies for this one statement.
# As app.domain.filter_fields.kinds_of: a list counts by its elements.
BACKFILL = """
ALTER TABLE document_version NO FORCE ROW LEVEL SECURITY;
INSERT INTO metadata_field (workspace_id, name, kinds)
SELECT v.workspace_id, f.key, coalesce(array_agg(DISTINCT jsonb_typeof(e.value)) FILTER (WHERE e.value IS NOT NULL), '{}')
FROM document_version v
CROSS JOIN LATERAL jsonb_each(v.metadata) f
LEFT JOIN LATERAL jsonb_array_elements(
    CASE jsonb_typeof(f.value) WHEN 'array' THEN f.value ELSE jsonb_build_array(f.value) END
) e ON true
WHERE f.key <> '' AND f.key NOT LIKE '$%' AND length(f.key) <= 200
GROUP BY v.workspace_id, f.key;
ALTER TABLE document_version FORCE ROW LEVEL SECURITY;
"""

ROW_LEVEL_SECURITY = """
ALTER TABLE metadata_field ENABLE ROW LEVEL SECURITY;
ALTER TABLE metadata_field FORCE ROW LEVEL SECURITY;
CREATE POLICY workspace ON metadata_field
    USING (workspace_id = nullif(current_setting('footnote.workspace_id', true), '')::uuid);
"""


def upgrade() -> None:
    op.execute(TABLE)
    op.execute(BACKFILL)
    op.execute(ROW_LEVEL_SECURITY)


def downgrade() -> None:
    op.execute("DROP TABLE metadata_field")
