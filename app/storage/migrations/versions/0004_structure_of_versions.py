"""What reindexing needs: the structure of each version, a flip in one statement, and a list of the workspaces."""

from alembic import op

revision = "0004"
down_revision = "0003"

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

# As in migration 0002, but the words of a generation that is being dropped are not counted one by one: its counts are
# dropped as a whole.
COUNTING = """
CREATE OR REPLACE FUNCTION lexical_count() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    slot smallint;
    sign int := CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END;
BEGIN
    FOR free IN 0..15 LOOP
        IF pg_try_advisory_xact_lock(1818585972, free) THEN
            slot := free;
            EXIT;
        END IF;
    END LOOP;
    IF slot IS NULL THEN
        slot := pg_backend_pid() % 16;
        PERFORM pg_advisory_xact_lock(1818585972, slot);
    END IF;
    INSERT INTO lexical_total AS t (collection_id, generation_id, config, shard, chunks, length)
    SELECT c.collection_id, c.generation_id, c.config, slot, sign * count(*), sign * sum(c.length)
    FROM changed c {known} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (collection_id, generation_id, config, shard)
        DO UPDATE SET chunks = t.chunks + excluded.chunks, length = t.length + excluded.length;
    INSERT INTO lexical_term AS t (collection_id, generation_id, term, shard, chunks)
    SELECT c.collection_id, c.generation_id, u.term, slot, sign * count(*)
    FROM changed c {known}, unnest(c.terms) u(term) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (collection_id, generation_id, term, shard) DO UPDATE SET chunks = t.chunks + excluded.chunks;
    RETURN NULL;
END $$;
"""
KNOWN = "JOIN index_generation g ON g.id = c.generation_id"


def upgrade() -> None:
    op.execute(UP)
    op.execute(COUNTING.format(known=KNOWN))


def downgrade() -> None:
    op.execute(COUNTING.format(known=""))
    op.execute(DOWN)
