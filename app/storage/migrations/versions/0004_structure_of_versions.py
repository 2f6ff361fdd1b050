"""What reindexing needs: the structure of each version, a flip in one statement, and a list of the workspaces."""

from alembic import op

revision = "0004"
down_revision = "0001"

# A unique index is checked row by row, so that one UPDATE could not exchange the active generation. A deferrable
# exclusion constraint is checked at the end of the statement.
# Maintenance goes through every workspace in turn, so it must be able to list them: their rows only, nothing in them.
UP = """
ALTER TABLE document_version ADD COLUMN headings JSONB, ADD COLUMN page_starts INTEGER[];
ALTER TABLE index_generation ADD COLUMN retired_at TIMESTAMP WITH TIME ZONE;
DROP INDEX uq_index_generation_active;
ALTER TABLE index_generation ADD CONSTRAINT ex_index_generation_active
    EXCLUDE USING btree (state WITH =) WHERE (state = 'active') DEFERRABLE INITIALLY IMMEDIATE;
CREATE POLICY maintenance ON workspace FOR SELECT USING (current_setting('footnote.maintenance', true) = 'on');
"""
DOWN = """
DROP POLICY maintenance ON workspace;
ALTER TABLE index_generation DROP CONSTRAINT ex_index_generation_active;
CREATE UNIQUE INDEX uq_index_generation_active ON index_generation (state) WHERE state = 'active';
ALTER TABLE index_generation DROP COLUMN retired_at;
ALTER TABLE document_version DROP COLUMN headings, DROP COLUMN page_starts;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
