"""Counts of words: those of a large batch are kept together until many batches are counted at once (docs/decisions/0032)."""

from alembic import op

revision = "0021"
down_revision = "0020"

# The four levels of a term have one part: what a question asks of a batch is in as many rows as it has words.
TABLE = """
CREATE TABLE lexical_batch (
    collection_id UUID NOT NULL,
    generation_id INTEGER NOT NULL,
    part SMALLINT NOT NULL,
    id UUID DEFAULT gen_random_uuid() NOT NULL,
    terms INTEGER[] NOT NULL,
    chunks INTEGER[] NOT NULL,
    CONSTRAINT pk_lexical_batch PRIMARY KEY (collection_id, generation_id, part, id)
);
"""
TOTALS = """INSERT INTO lexical_total AS t (collection_id, generation_id, config, shard, chunks, length)
    SELECT c.collection_id, c.generation_id, c.config, slot, sign * count(*), sign * sum(c.length)
    FROM changed c JOIN index_generation g ON g.id = c.generation_id GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (collection_id, generation_id, config, shard)
        DO UPDATE SET chunks = t.chunks + excluded.chunks, length = t.length + excluded.length;"""
TERMS = """INSERT INTO lexical_term AS t (collection_id, generation_id, term, shard, chunks)
    SELECT c.collection_id, c.generation_id, u.term, slot, sign * count(*)
    FROM changed c JOIN index_generation g ON g.id = c.generation_id, unnest(c.terms) u(term)
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (collection_id, generation_id, term, shard) DO UPDATE SET chunks = t.chunks + excluded.chunks;"""
# As in migration 0004, but a statement that brings or takes many chunks adds a batch; the writer that finds many batches
# adds them up. One does so at a time, and a question sees all before or all after.
COUNTING = """
CREATE FUNCTION lexical_slot() RETURNS smallint LANGUAGE plpgsql AS $$
DECLARE
    slot smallint;
BEGIN
    FOR free IN 0..15 LOOP
        IF pg_try_advisory_xact_lock(1818585972, free) THEN
            RETURN free;
        END IF;
    END LOOP;
    slot := pg_backend_pid() % 16;
    PERFORM pg_advisory_xact_lock(1818585972, slot);
    RETURN slot;
END $$;

CREATE FUNCTION lexical_add_up(collection uuid, generation int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF pg_try_advisory_xact_lock(generation, hashtext(collection::text)) THEN
        WITH gone AS (
            DELETE FROM lexical_batch b WHERE b.collection_id = collection AND b.generation_id = generation
            RETURNING b.terms, b.chunks
        )
        INSERT INTO lexical_term AS t (collection_id, generation_id, term, shard, chunks)
        SELECT collection, generation, u.term, s.slot, sum(u.chunks)
        FROM gone g, unnest(g.terms, g.chunks) u(term, chunks), (SELECT lexical_slot() AS slot OFFSET 0) s
        GROUP BY 3, 4 ORDER BY 3
        ON CONFLICT (collection_id, generation_id, term, shard) DO UPDATE SET chunks = t.chunks + excluded.chunks;
    END IF;
END $$;

CREATE OR REPLACE FUNCTION lexical_count() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    slot smallint := lexical_slot();
    sign int := CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END;
    many boolean := (SELECT count(*) >= 32 FROM changed);
    batch record;
BEGIN
    {totals}
    IF NOT many THEN
        {terms}
        RETURN NULL;
    END IF;
    FOR batch IN
        WITH counted AS (
            SELECT c.collection_id, c.generation_id, u.term, sign * count(*) AS chunks
            FROM changed c JOIN index_generation g ON g.id = c.generation_id, unnest(c.terms) u(term) GROUP BY 1, 2, 3
        ), added AS (
            INSERT INTO lexical_batch (collection_id, generation_id, part, terms, chunks)
            SELECT c.collection_id, c.generation_id, c.term & 127, array_agg(c.term), array_agg(c.chunks)
            FROM counted c GROUP BY 1, 2, 3
            RETURNING collection_id, generation_id, part
        )
        SELECT a.collection_id, a.generation_id, min(a.part) AS part FROM added a GROUP BY 1, 2 ORDER BY 1, 2
    LOOP
        IF (SELECT count(*) > 64 FROM lexical_batch b WHERE b.collection_id = batch.collection_id
                AND b.generation_id = batch.generation_id AND b.part = batch.part) THEN
            PERFORM lexical_add_up(batch.collection_id, batch.generation_id);
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
"""
OLD_COUNTING = """
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
    {totals}
    {terms}
    RETURN NULL;
END $$;
SELECT lexical_add_up(collection_id, generation_id)
FROM (SELECT DISTINCT collection_id, generation_id FROM lexical_batch) b;
DROP FUNCTION lexical_add_up, lexical_slot;
DROP TABLE lexical_batch;
"""


def upgrade() -> None:
    op.execute(TABLE)
    op.execute(COUNTING.format(totals=TOTALS, terms=TERMS))


def downgrade() -> None:
    op.execute(OLD_COUNTING.format(totals=TOTALS, terms=TERMS))
