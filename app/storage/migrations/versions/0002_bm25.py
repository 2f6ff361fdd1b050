"""BM25: words as terms with impacts, live statistics, and the white space between chunks (docs/decisions/0008)."""

from alembic import op

revision = "0002"
down_revision = "0001"

# Scripts written without spaces between words: Thai, Lao, Burmese, Khmer, Chinese, Japanese, Korean. Their runs are
# indexed as overlapping pairs of characters (as Lucene's CJKAnalyzer does).
UNSPACED = (
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    r"\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
)
FUNCTIONS = r"""
CREATE FUNCTION lexical_text(words text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN words !~ '{unspaced}' THEN words
    ELSE regexp_replace(words, '{unspaced}+', ' ', 'g')
        || ' ' || (
            SELECT string_agg(substr(run[1], at, 2), ' ')
            FROM regexp_matches(words, '{unspaced}+', 'g') run,
                generate_series(1, greatest(length(run[1]) - 1, 1)) at
        )
    END
$$;

-- What a text says, as numbers: a term is a lexeme of one text search configuration in one collection.
CREATE FUNCTION lexical_terms(collection uuid, config regconfig, words text)
RETURNS TABLE (lexeme text, term int, frequency int) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT w.lexeme, greatest(1, (hashtextextended(w.lexeme, s.seed) & 536870911)::int), cardinality(w.positions)
    FROM (SELECT hashtextextended(collection::text || ' ' || config::text, 0)) s(seed),
        unnest(to_tsvector(config, lexical_text(words))) w
$$;

-- A chunk's row of chunk_lexeme. An impact is tf / (tf + 1.2 * (0.25 + 0.75 * length / 100)): BM25's share of a term at
-- a reference average length, which orders candidates; tf is computed back from it for the exact score.
CREATE FUNCTION lexical_row(collection uuid, config regconfig, words text,
    OUT length int, OUT terms int[], OUT impacts sparsevec) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    WITH counted AS MATERIALIZED (
        SELECT t.term, sum(t.frequency)::float8 AS frequency FROM lexical_terms(collection, config, words) t GROUP BY 1
    ), weighed AS MATERIALIZED (
        SELECT c.term, c.frequency,
            c.frequency / (c.frequency + 1.2::float8 * (0.25::float8 + 0.0075::float8 * sum(c.frequency) OVER ())) AS impact
        FROM counted c
    )
    SELECT coalesce(sum(w.frequency), 0)::int,
        coalesce(array_agg(w.term), '{}')
            || coalesce(array_agg(w.term + (1 << 29)) FILTER (WHERE w.impact >= 0.5), '{}')
            || coalesce(array_agg(w.term + (2 << 29)) FILTER (WHERE w.impact >= 0.6), '{}')
            || coalesce(array_agg(w.term + (3 << 29)) FILTER (WHERE w.impact >= 0.7), '{}'),
        ('{' || coalesce(string_agg(w.term || ':' || w.impact::real, ','), '') || '}/536870912')::sparsevec
    FROM weighed w
$$;
"""

TABLES = """
DROP TABLE chunk_lexeme;
CREATE TABLE chunk_lexeme (
    chunk_id UUID NOT NULL,
    generation_id INTEGER NOT NULL,
    collection_id UUID NOT NULL,
    config REGCONFIG NOT NULL,
    length INTEGER NOT NULL,
    terms INTEGER[] STORAGE MAIN NOT NULL,
    impacts SPARSEVEC STORAGE MAIN NOT NULL,
    metadata JSONB DEFAULT '{}' NOT NULL,
    CONSTRAINT pk_chunk_lexeme PRIMARY KEY (chunk_id, generation_id),
    CONSTRAINT fk_chunk_lexeme_chunk_id_chunk FOREIGN KEY(chunk_id) REFERENCES chunk (id) ON DELETE CASCADE,
    CONSTRAINT fk_chunk_lexeme_generation_id_index_generation FOREIGN KEY(generation_id) REFERENCES index_generation (id) ON DELETE CASCADE
) WITH (toast_tuple_target = 8160);
CREATE TABLE lexical_term (
    collection_id UUID NOT NULL,
    generation_id INTEGER NOT NULL,
    term INTEGER NOT NULL,
    shard SMALLINT NOT NULL,
    chunks INTEGER NOT NULL,
    CONSTRAINT pk_lexical_term PRIMARY KEY (collection_id, generation_id, term, shard)
) WITH (fillfactor = 70);
CREATE TABLE lexical_total (
    collection_id UUID NOT NULL,
    generation_id INTEGER NOT NULL,
    config REGCONFIG NOT NULL,
    shard SMALLINT NOT NULL,
    chunks INTEGER NOT NULL,
    length BIGINT NOT NULL,
    CONSTRAINT pk_lexical_total PRIMARY KEY (collection_id, generation_id, config, shard)
) WITH (fillfactor = 70);
ALTER TABLE chunk ADD space_after TEXT DEFAULT '' NOT NULL;
ALTER TABLE chunk_embedding ADD metadata JSONB DEFAULT '{}' NOT NULL;
CREATE INDEX ix_chunk_embedding_metadata ON chunk_embedding USING gin (metadata jsonb_path_ops);
"""

# Whatever puts a row in or takes it out (a write, a cascade, a purge), the counts go along in the same transaction. Each
# writer has a shard of its own until it commits, so that writers do not wait for each other's common words.
COUNTING = """
CREATE FUNCTION lexical_count() RETURNS trigger LANGUAGE plpgsql AS $$
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
    FROM changed c GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (collection_id, generation_id, config, shard)
        DO UPDATE SET chunks = t.chunks + excluded.chunks, length = t.length + excluded.length;
    INSERT INTO lexical_term AS t (collection_id, generation_id, term, shard, chunks)
    SELECT c.collection_id, c.generation_id, u.term, slot, sign * count(*)
    FROM changed c, unnest(c.terms) u(term) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (collection_id, generation_id, term, shard) DO UPDATE SET chunks = t.chunks + excluded.chunks;
    RETURN NULL;
END $$;
CREATE TRIGGER count_inserted AFTER INSERT ON chunk_lexeme
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION lexical_count();
CREATE TRIGGER count_deleted AFTER DELETE ON chunk_lexeme
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION lexical_count();
CREATE FUNCTION lexical_row_fixed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of chunk_lexeme are replaced, not updated: delete and insert, so that the counts stay right';
END $$;
CREATE TRIGGER refuse_update BEFORE UPDATE OF collection_id, generation_id, config, length, terms ON chunk_lexeme
    FOR EACH STATEMENT EXECUTE FUNCTION lexical_row_fixed();
"""

INDEX = "CREATE INDEX lexical_{id} ON chunk_lexeme USING gin (terms) WITH (fastupdate = off) WHERE generation_id = {id}"
# Policies hide every row from a role they bind, the owner too: the words are filled in by workspace.
FILTERABLE = """
    v.metadata || c.metadata || jsonb_strip_nulls(jsonb_build_object(
        'document_id', o.id, 'source_uri', o.source_uri, 'title', v.title, 'media_type', v.media_type, 'page', c.page
    ))
"""
FILL = f"""
INSERT INTO chunk_lexeme (chunk_id, generation_id, collection_id, config, length, terms, impacts, metadata)
SELECT c.id, g.id, c.collection_id, v.text_search_config, r.length, r.terms, r.impacts, {FILTERABLE}
FROM chunk c JOIN document_version v ON v.id = c.document_version_id JOIN document o ON o.id = c.document_id
JOIN index_generation g ON g.chunker = c.chunker,
    lexical_row(c.collection_id, v.text_search_config, array_to_string(c.heading_path, ' ') || ' ' || c.text) r;
UPDATE chunk_embedding e SET metadata = {FILTERABLE}
FROM chunk c JOIN document_version v ON v.id = c.document_version_id JOIN document o ON o.id = c.document_id
WHERE c.id = e.chunk_id;
"""  # noqa: S608 - constants

OLD = """
DROP TABLE chunk_lexeme;
DROP TABLE lexical_term;
DROP TABLE lexical_total;
DROP FUNCTION lexical_row_fixed, lexical_count, lexical_row, lexical_terms, lexical_text;
ALTER TABLE chunk DROP space_after;
ALTER TABLE chunk_embedding DROP metadata;
CREATE TABLE chunk_lexeme (
    chunk_id UUID NOT NULL,
    generation_id INTEGER NOT NULL,
    collection_id UUID NOT NULL,
    tsv TSVECTOR NOT NULL,
    CONSTRAINT pk_chunk_lexeme PRIMARY KEY (chunk_id, generation_id),
    CONSTRAINT fk_chunk_lexeme_chunk_id_chunk FOREIGN KEY(chunk_id) REFERENCES chunk (id) ON DELETE CASCADE,
    CONSTRAINT fk_chunk_lexeme_generation_id_index_generation FOREIGN KEY(generation_id) REFERENCES index_generation (id) ON DELETE CASCADE
);
CREATE INDEX ix_chunk_lexeme_collection_id_generation_id ON chunk_lexeme (collection_id, generation_id);
CREATE INDEX ix_chunk_lexeme_tsv ON chunk_lexeme USING gin (tsv) WITH (fastupdate = off);
"""
OLD_FILL = """
INSERT INTO chunk_lexeme (chunk_id, generation_id, collection_id, tsv)
SELECT c.id, g.id, c.collection_id,
    setweight(to_tsvector(v.text_search_config, array_to_string(c.heading_path, ' ')), 'A')
    || to_tsvector(v.text_search_config, c.text)
FROM chunk c JOIN document_version v ON v.id = c.document_version_id JOIN index_generation g ON g.chunker = c.chunker
"""


def upgrade() -> None:
    op.execute(FUNCTIONS.replace("{unspaced}", UNSPACED))
    op.execute(TABLES)
    op.execute(COUNTING)
    for (generation_id,) in op.get_bind().exec_driver_sql("SELECT id FROM index_generation").fetchall():
        op.execute(INDEX.format(id=generation_id))
    _every_row(FILL)


def downgrade() -> None:
    op.execute(OLD)
    _every_row(OLD_FILL)


def _every_row(statement: str) -> None:
    """Run a statement over every workspace's rows: the tables' owner may set the policies aside for a moment."""
    for table in ("chunk", "document_version", "document"):
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute(statement)
    for table in ("chunk", "document_version", "document"):
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
