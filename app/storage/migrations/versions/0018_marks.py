r"""Marks beside words: what is not a letter separates words, in every database's locale (docs/decisions/0031).

PostgreSQL's parser asks the C library what a letter is. Where that knows ASCII alone (LC_CTYPE `C`, as an embedded
database has), it takes every other character for one, so that `“word”` was another word than `word`.
"""

from alembic import op

revision = "0018"
down_revision = "0017"

# Punctuation, symbols and spaces beyond ASCII. Not among them: the joiners (U+200C, U+200D) of Persian and Indic words.
MARKS = (
    r"[\u00a0-\u00a9\u00ab\u00ac\u00ae-\u00b1\u00b4\u00b6-\u00b8\u00bb\u00bf\u00d7\u00f7\u02c2-\u02c5\u02d2-\u02df"
    r"\u037e\u0387\u055a-\u055f\u0589\u058a\u05be\u05c0\u05c3\u05c6\u0609-\u060d\u061b-\u061f\u066a-\u066d\u06d4"
    r"\u0964\u0965\u0970\u1361-\u1368\u2000-\u200b\u200e-\u206f\u20a0-\u20cf\u2116\u2122\u2139\u2190-\u245f\u2500-\u2775"
    r"\u2794-\u2bff\u2e00-\u2e2e\u2e30-\u2e5d\u3000-\u3004\u3008-\u3020\u3030\u303d\ufe10-\ufe19\ufe30-\ufe6b"
    r"\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\uffe0-\uffee\ufffc\ufffd"
    r"\U0001f000-\U0001f0ff\U0001f10d-\U0001faff]"
)
# A soft hyphen and the word joiner stand within a word, the emoji's selector (U+FE0F) behind a mark. `C++`, `C#` and `F#` are not the letter, and a version is the
# same with a `v` before it; the parser would take the marks for nothing, and such a version for another word.
FUNCTIONS = r"""
CREATE FUNCTION lexical_words(words text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN octet_length(words) = length(words) AND words !~ '\+\+|#|[vV]\d+\.\d' THEN words
        ELSE regexp_replace(translate(
            CASE WHEN words !~ '\+\+|#|[vV]\d+\.\d' THEN words
            ELSE regexp_replace(regexp_replace(regexp_replace(words,
                '\m([A-Za-z])\+\+(?![A-Za-z_+])', '\1plusplus ', 'g'),
                '\m([A-Za-z])#(?![A-Za-z_#])', '\1sharp ', 'g'),
                '(?<![/.=-])\m[vV](\d+(\.\d+)+)', 'v\1 \1', 'g') END,
            U&'\00ad\2060\fe0f\feff', ''), '{marks}', ' ', 'g')
        END
$$;
ALTER FUNCTION lexical_text RENAME TO lexical_pairs;
CREATE FUNCTION lexical_text(words text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN octet_length(words) = length(words) THEN lexical_words(words)
        ELSE lexical_pairs(lexical_words(words)) END
$$;
"""
OLD_FUNCTIONS = """
DROP FUNCTION lexical_text;
ALTER FUNCTION lexical_pairs RENAME TO lexical_text;
DROP FUNCTION lexical_words;
"""
# Chunks whose words are others now.
READ = """
CREATE TEMPORARY TABLE reread ON COMMIT DROP AS
SELECT l.chunk_id, l.generation_id, l.collection_id, l.config, l.metadata, w.words
FROM chunk_lexeme l JOIN chunk c ON c.id = l.chunk_id,
    concat(array_to_string(c.heading_path, ' '), ' ', c.text) w(words)
WHERE lexical_words(w.words) <> w.words
"""
WRITE = """
DELETE FROM chunk_lexeme l USING reread r WHERE l.chunk_id = r.chunk_id AND l.generation_id = r.generation_id;
INSERT INTO chunk_lexeme (chunk_id, generation_id, collection_id, config, length, terms, impacts, metadata)
SELECT r.chunk_id, r.generation_id, r.collection_id, r.config, w.length, w.terms, w.impacts, r.metadata
FROM reread r, lexical_row(r.collection_id, r.config, r.words) w;
DROP TABLE reread;
"""


def upgrade() -> None:
    op.execute(FUNCTIONS.replace("{marks}", MARKS))
    _read()
    op.execute(WRITE)


def downgrade() -> None:
    _read()
    op.execute(OLD_FUNCTIONS)
    op.execute(WRITE)


def _read() -> None:
    """From every workspace: the table's owner may set the policy aside for a moment."""
    op.execute("ALTER TABLE chunk NO FORCE ROW LEVEL SECURITY")
    op.execute(READ)
    op.execute("ALTER TABLE chunk FORCE ROW LEVEL SECURITY")
