"""Search SQL: the hot query's parts, and the one statement they make.

The generation and its dimensions are literals: a partial expression index is used only when the planner can prove that
it covers the query. Everything else is a bound parameter.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from psycopg import sql

from app.domain.index import IndexGeneration
from app.domain.passage import Leg
from app.storage.filters import Narrowed

Route = Literal["exact", "index", "whole"]
"""How the dense leg finds its candidates: every row measured; the HNSW index, and every row where that gives up; or the
index alone, where most of what it yields is in scope."""
Fusion = Literal["adaptive", "convex", "rrf"]


@dataclass(frozen=True, slots=True)
class Shape:
    """What the statement's text depends on: never on what is asked, only on how.

    `few`: the rows that have the filter's keys are so few that the lexical leg scores all that pass.
    """

    generation: IndexGeneration
    leg: Leg
    route: Route
    fusion: Fusion
    filter: Narrowed | None = None
    phrases: bool = False
    few: bool = False


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement with PostgreSQL's own placeholders `$1` and so on, and the names of what they stand for, in order."""

    text: bytes
    names: tuple[str, ...]

    def arguments(self, values: Mapping[str, object]) -> list[object]:
        """The values in the order of the placeholders."""
        return [values[name] for name in self.names]


# Under row-level security; evaluated once. The index tables that it narrows have none.
_SCOPE = """
scope AS MATERIALIZED (
    SELECT array_agg(id) AS ids FROM collection WHERE %(collection)s::text IS NULL OR name = %(collection)s
)"""

# Every row that passes, measured: right at any selectivity, and the fastest while they are few.
_EXACT = """
    SELECT chunk_id, distance
    FROM (
        SELECT l.chunk_id, l.embedding <=> %(vector)s::halfvec AS distance
        FROM chunk_embedding l
        WHERE l.generation_id = {generation} AND l.collection_id = ANY((SELECT ids FROM scope)::uuid[]) {filter}
        OFFSET 0
    ) measured
    WHERE {needed} ORDER BY distance, chunk_id LIMIT %(dense_candidates)s"""
# The index of keys brings those of the scope that have the values, and of a row that is measured only its vector is
# read. Keys are hashes: what is left is asked for scope and filter. The row's place leads there without an index.
_KEYED = """
    SELECT l.chunk_id, nearest.distance
    FROM (
        SELECT place, distance
        FROM (
            SELECT l.ctid AS place, l.chunk_id, l.embedding <=> %(vector)s::halfvec AS distance
            FROM chunk_embedding l WHERE {keys} {beyond} OFFSET 0
        ) measured
        WHERE {needed} ORDER BY distance, chunk_id LIMIT %(dense_candidates)s
    ) nearest
    CROSS JOIN LATERAL (SELECT * FROM chunk_embedding WHERE ctid = nearest.place OFFSET 0) l
    WHERE l.generation_id = {generation} AND l.collection_id = ANY((SELECT ids FROM scope)::uuid[]) {filter}"""
_HAS_KEY = "filter_keys(l.generation_id, l.collection_id, l.metadata) && (SELECT keys FROM asked_{number})"
# What `filter_keys` gives, for every collection of the scope; to call it for each would take ten times as long.
ASKED = """
asked_{number} AS MATERIALIZED (
    SELECT array_agg(
        jsonb_hash_extended(held.value, hashtextextended(field.key, uuid_hash_extended(id, {generation})))
    ) AS keys
    FROM scope, unnest(ids) id, jsonb_each(%(key{number})s::jsonb) field, jsonb_array_elements(field.value) held(value)
)"""
_DENSE_EXACT = """
near AS MATERIALIZED ({exact})"""
# The HNSW index, iterating until enough rows pass. OFFSET 0: the filter stays behind the index. The planner takes any
# filter for one that keeps next to nothing, and would measure all that pass.
_WALK = """
    SELECT chunk_id, distance
    FROM (
        SELECT l.*, l.embedding::halfvec({dimensions}) <=> %(vector)s::halfvec AS distance
        FROM chunk_embedding l WHERE l.generation_id = {generation}
        ORDER BY l.embedding::halfvec({dimensions}) <=> %(vector)s::halfvec OFFSET 0
    ) l
    WHERE l.collection_id = ANY((SELECT ids FROM scope)::uuid[]) {filter}
    LIMIT %(dense_candidates)s"""
_DENSE_WHOLE = """
near AS MATERIALIZED ({walk})"""
# When it gives up early, the exact scan takes its place; only to be ready for that takes a tenth of the time.
_DENSE_INDEX = """
walked AS MATERIALIZED ({walk}),
near AS MATERIALIZED (
    SELECT chunk_id, distance FROM walked WHERE (SELECT count(*) FROM walked) >= %(dense_candidates)s
    UNION ALL
    ({exact})
)"""
_TOO_FEW = "(SELECT count(*) FROM walked) < %(dense_candidates)s"
_DENSE_ROUTES: dict[Route, str] = {"exact": _DENSE_EXACT, "index": _DENSE_INDEX, "whole": _DENSE_WHOLE}
_DENSE = """
dense AS MATERIALIZED (
    SELECT chunk_id, 1 - distance AS score, row_number() OVER (ORDER BY distance, chunk_id) AS rank,
        (max(distance) OVER () - distance) / nullif(max(distance) OVER () - min(distance) OVER (), 0) AS share
    FROM near
)"""

# BM25 (Robertson, Zaragoza: The Probabilistic Relevance Framework, 2009, eq. 3.15; idf as in Lucene, never negative):
#   Σ ln(1 + (N - n + .5) / (n + .5)) · tf · (k1 + 1) / (tf + k1 · (1 - b + b · length / average))
# with N, n and the average over the collections searched, live. Each document is read in its own text search
# configuration. Candidates: all chunks with a rare term, of a common one those where it weighs most: its impact level
# is the lowest that at most `cap` or 3.5 √N chunks reach, whichever is more; where a filter keeps a share of them, both
# are more. They are ordered by their impacts at the reference average length (migration 0002), and the best are scored
# exactly: tf is what the impact was made of.
_LEXICAL = """
words AS MATERIALIZED (
    SELECT c.collection_id, c.config, t.lexeme, t.term, t.frequency
    FROM (
        SELECT DISTINCT collection_id, config FROM lexical_total
        WHERE collection_id = ANY((SELECT ids FROM scope)::uuid[]) AND generation_id = {generation}
    ) c, lexical_terms(c.collection_id, c.config, %(text)s) t
),
totals AS MATERIALIZED (
    SELECT sum(chunks)::float8 AS chunks, sum(length)::float8 / nullif(sum(chunks), 0) AS average
    FROM lexical_total WHERE collection_id = ANY((SELECT ids FROM scope)::uuid[]) AND generation_id = {generation}
),
counted AS MATERIALIZED (
    SELECT w.config, w.lexeme, t.term >> 29 AS level, sum(t.chunks)::float8 AS chunks
    FROM words w CROSS JOIN LATERAL (
        SELECT term, chunks FROM lexical_term
        WHERE collection_id = w.collection_id AND generation_id = {generation}
            AND term = ANY (ARRAY[w.term, w.term + (1 << 29), w.term + (2 << 29), w.term + (3 << 29)])
        UNION ALL
        SELECT u.term, u.chunks FROM lexical_batch b, unnest(b.terms, b.chunks) u(term, chunks)
        WHERE b.collection_id = w.collection_id AND b.generation_id = {generation} AND b.part = (w.term & 127)::smallint
            AND u.term & 536870911 = w.term
    ) t
    GROUP BY 1, 2, 3
),
weighed AS MATERIALIZED (
    SELECT c.config, c.lexeme,
        coalesce(min(c.level) FILTER (
            WHERE c.chunks <= greatest(%(cap)s, %(widened)s * 3.5::float8 * sqrt(t.chunks))
        ), 4) AS level,
        ln(1 + (t.chunks - max(c.chunks) + 0.5) / (max(c.chunks) + 0.5)) AS idf,
        row_number() OVER (ORDER BY max(c.chunks)) AS rarity
    FROM counted c, totals t WHERE c.chunks > 0 GROUP BY c.config, c.lexeme, t.chunks
),
query AS MATERIALIZED (
    SELECT w.collection_id, w.config, w.term, q.idf * w.frequency AS weight,
        ('{{' || w.term || ':1}}/536870912')::sparsevec AS unit,
        CASE WHEN q.level <= 3 OR q.rarity = 1 THEN w.term + (least(q.level, 3) << 29) END AS key
    FROM words w JOIN weighed q USING (config, lexeme)
),
asked AS MATERIALIZED (
    SELECT array_agg(key) FILTER (WHERE key IS NOT NULL) AS keys,
        ('{{' || string_agg(term || ':' || weight::real, ',') || '}}/536870912')::sparsevec AS weights
    FROM (SELECT min(key) AS key, term, max(weight) AS weight FROM query GROUP BY term) distinct_terms
),
{likely},
lexical AS MATERIALIZED (
    SELECT chunk_id, score, row_number() OVER (ORDER BY score DESC, chunk_id) AS rank,
        score / max(score) OVER () AS share
    FROM (
        SELECT f.chunk_id, sum(q.weight * x.frequency * (%(k1)s + 1)
            / (x.frequency + %(k1)s * (1 - %(b)s + %(b)s * f.length / t.average))) AS score
        FROM likely f JOIN query q USING (collection_id, config), totals t,
            LATERAL (SELECT -(f.impacts <#> q.unit) AS impact OFFSET 0) i,
            LATERAL (SELECT round(i.impact * 1.2::float8 * (0.25::float8 + 0.0075::float8 * f.length) / (1 - i.impact))
                AS frequency OFFSET 0) x
        WHERE i.impact > 0
        GROUP BY f.chunk_id ORDER BY score DESC, f.chunk_id LIMIT %(lexical_candidates)s
    ) scored
)"""
_LIKELY = """
likely AS MATERIALIZED (
    SELECT l.chunk_id, l.collection_id, l.config, l.length, l.impacts,
        l.impacts <#> (SELECT weights FROM asked) AS negative
    FROM chunk_lexeme l
    WHERE l.generation_id = {generation} AND l.terms && (SELECT keys FROM asked)
        AND l.collection_id = ANY((SELECT ids FROM scope)::uuid[]) {filter}
    ORDER BY negative, l.chunk_id LIMIT %(likely)s
)"""
# Where a filter keeps few, those that pass are found first, and all are scored, however common their words are.
_LIKELY_FEW = """
likely AS MATERIALIZED (
    SELECT * FROM (
        SELECT l.chunk_id, l.collection_id, l.config, l.length, l.impacts,
            l.impacts <#> (SELECT weights FROM asked) AS negative
        FROM (SELECT l.chunk_id AS id FROM chunk_embedding l WHERE {keys} {beyond} OFFSET 0) passing
        CROSS JOIN LATERAL (
            SELECT * FROM chunk_lexeme WHERE chunk_id = passing.id AND generation_id = {generation} OFFSET 0
        ) l
        WHERE l.collection_id = ANY((SELECT ids FROM scope)::uuid[]) {filter} OFFSET 0
    ) l
    WHERE negative < 0 ORDER BY negative, chunk_id LIMIT %(likely)s
)"""
# A chunk's text holds every phrase. One of stop words, or in a script without spaces, must stand as it is written.
_HOLDS = """
    NOT EXISTS (
        SELECT FROM unnest(%(phrases)s::text[]) p(phrase)
            CROSS JOIN LATERAL (SELECT phraseto_tsquery({config}, lexical_words(p.phrase)) AS words) q
        WHERE NOT (to_tsvector({config}, lexical_words(c.text)) @@ q.words
            OR (numnode(q.words) = 0 OR lexical_text(p.phrase) <> p.phrase)
                AND strpos(lower(c.text), lower(p.phrase)) > 0)
    )"""
# With phrases the candidates are chunks that have all their words, however common, and are read in order until enough
# of them hold the phrases. A phrase without words (all of them stop words) is looked for among the ordinary candidates.
_LIKELY_PHRASES = """
phrased AS MATERIALIZED (
    SELECT c.collection_id, c.config, array_agg(DISTINCT t.term) FILTER (WHERE t.term IS NOT NULL) AS terms
    FROM (SELECT DISTINCT collection_id, config FROM words) c
    LEFT JOIN LATERAL (
        SELECT t.term FROM unnest(%(phrases)s::text[]) p(phrase), lexical_terms(c.collection_id, c.config, p.phrase) t
    ) t ON true
    GROUP BY c.collection_id, c.config
),
with_words AS MATERIALIZED (
    SELECT l.chunk_id, l.collection_id, l.config, l.length, l.impacts,
        l.impacts <#> (SELECT weights FROM asked) AS negative
    FROM phrased p
    CROSS JOIN LATERAL (
        SELECT * FROM chunk_lexeme l
        WHERE l.generation_id = {generation} AND l.terms @> p.terms
            AND l.collection_id = p.collection_id AND l.config = p.config {filter}
        UNION ALL
        SELECT * FROM chunk_lexeme l
        WHERE l.generation_id = {generation} AND l.terms && (SELECT keys FROM asked) AND p.terms IS NULL
            AND l.collection_id = p.collection_id AND l.config = p.config {filter}
    ) l
    ORDER BY negative, l.chunk_id LIMIT %(phrase_candidates)s
),
likely AS MATERIALIZED (
    SELECT w.*
    FROM with_words w CROSS JOIN LATERAL (SELECT text FROM chunk WHERE id = w.chunk_id OFFSET 0) c
    WHERE {holds}
    LIMIT %(likely)s
)"""
# Reciprocal rank fusion: Σ 1 / (k + rank) (Cormack, Clarke, Büttcher: SIGIR 2009, p. 758).
_RRF = "coalesce(1.0 / (%(rrf_k)s + d.rank), 0) + coalesce(1.0 / (%(rrf_k)s + t.rank), 0)"
# Convex combination of scores (Bruch, Gai, Ingber: An Analysis of Fusion Functions for Hybrid Retrieval, TOIS 2023):
# cosine min-max over the candidates, BM25 over its maximum.
_CONVEX = "{weight} * coalesce(d.share, 0) + (1 - {weight}) * coalesce(t.share, 0)"
# The weight of this query (docs/decisions/0009): each leg counts as much as it is decided, which is how far its tenth
# falls behind its first. A leg that knows nothing of the question ranks by chance, and its scores lie close together.
_LEANING = """
leaning AS MATERIALIZED (
    SELECT coalesce(%(dense_weight)s * dense
        / nullif(%(dense_weight)s * dense + (1 - %(dense_weight)s) * lexical, 0), %(dense_weight)s) AS weight
    FROM (
        SELECT 1 - coalesce((SELECT share FROM dense WHERE rank = 10), 0) AS dense,
            1 - coalesce((SELECT share FROM lexical WHERE rank = 10), 0) AS lexical
    ) decided
)"""
_FUSED = """
fused AS (
    SELECT chunk_id, d.score AS similarity, t.score AS lexical, ({score})::float8 AS score
    FROM dense d FULL JOIN lexical t USING (chunk_id)
    {limit}
)"""
# One leg alone has nothing to be fused with.
_DENSE_ALONE = """
fused AS (
    SELECT chunk_id, 1 - distance AS similarity, NULL::float8 AS lexical, 1 - distance AS score
    FROM near ORDER BY distance, chunk_id LIMIT %(k)s
)"""
_LEXICAL_ALONE = """
fused AS (
    SELECT chunk_id, NULL::float8 AS similarity, score AS lexical, score FROM lexical ORDER BY rank LIMIT %(k)s
)"""
# The join with chunk, document_version and document is under row-level security; only current versions are retrieved.
# OFFSET 0 keeps the order: from the few that were found to their rows, by primary key. The planner cannot know how few
# they are, nor how many rows pass the policy, and would begin with every current version.
_PASSAGES = """
SELECT c.id::text, c.document_id::text, v.id::text, v.title, o.source_uri, c.heading_path, c.page, c.char_start,
    c.char_end, c.text, f.score, f.similarity, v.metadata || c.metadata, f.lexical, c.space_after
FROM fused f
CROSS JOIN LATERAL (SELECT * FROM chunk WHERE id = f.chunk_id OFFSET 0) c
CROSS JOIN LATERAL (
    SELECT id, title, metadata, text_search_config FROM document_version
    WHERE id = c.document_version_id AND valid_to IS NULL OFFSET 0
) v
CROSS JOIN LATERAL (SELECT source_uri FROM document WHERE id = c.document_id OFFSET 0) o
{phrases}
ORDER BY f.score DESC, f.similarity DESC NULLS LAST, f.chunk_id
LIMIT %(k)s
"""
_WITH_PHRASES = "WHERE f.lexical IS NOT NULL OR {holds}"  # the lexical leg has looked already
_LIMIT = "ORDER BY 4 DESC, 2 DESC NULLS LAST, 1 LIMIT %(k)s"


@lru_cache(maxsize=1000)
def statement(shape: Shape) -> Statement:
    """The hot query in one statement; put together once for each shape, which would take as long as a small search."""
    parts: dict[str, sql.Composable] = {
        "generation": sql.Literal(shape.generation.id),
        "dimensions": sql.Literal(shape.generation.dimensions),
        "filter": sql.SQL(f"AND {shape.filter.condition}" if shape.filter else ""),
        "needed": sql.SQL(_TOO_FEW if shape.route == "index" else "true"),
        "holds": _holds("w.config"),
    }
    numbers = [sql.SQL(str(number)) for number in range(shape.filter.keys if shape.filter else 0)]
    parts["keys"] = sql.SQL(" AND ").join(sql.SQL(_HAS_KEY).format(number=number) for number in numbers)
    parts["beyond"] = sql.SQL("") if shape.filter and shape.filter.whole else parts["filter"]
    parts["exact"] = sql.SQL(_KEYED if numbers else _EXACT).format(**parts)
    parts["walk"] = sql.SQL(_WALK).format(**parts)
    ctes: list[sql.Composable] = [sql.SQL(_SCOPE)]
    ctes += [sql.SQL(ASKED).format(number=number, **parts) for number in numbers]
    if shape.leg != "lexical":
        ctes.append(sql.SQL(_DENSE_ROUTES[shape.route]).format(**parts))
    if shape.leg != "dense":
        likely = sql.SQL(_LIKELY_PHRASES if shape.phrases else _LIKELY_FEW if shape.few else _LIKELY).format(**parts)
        ctes.append(sql.SQL(_LEXICAL).format(likely=likely, **parts))
    if shape.leg == "hybrid":
        ctes += _fusion(shape)
    else:
        ctes.append(sql.SQL(_DENSE_ALONE if shape.leg == "dense" else _LEXICAL_ALONE))
    holds = sql.SQL(_WITH_PHRASES if shape.phrases else "").format(holds=_holds("v.text_search_config"))
    passages = sql.SQL(_PASSAGES).format(phrases=holds)
    return numbered((sql.SQL("WITH ") + sql.SQL(",").join(ctes) + passages).as_string(None))


def _fusion(shape: Shape) -> list[sql.Composable]:
    """Both legs' candidates with ranks and shares, and what they make together."""
    weight = "(SELECT weight FROM leaning)" if shape.fusion == "adaptive" else "%(dense_weight)s"
    score = _RRF if shape.fusion == "rrf" else _CONVEX.format(weight=weight)
    limit = "" if shape.phrases else _LIMIT
    leaning = [sql.SQL(_LEANING)] if shape.fusion == "adaptive" else []
    return [sql.SQL(_DENSE), *leaning, sql.SQL(_FUSED).format(score=sql.SQL(score), limit=sql.SQL(limit))]


_PARAMETER = re.compile(r"%\((\w+)\)s")


def numbered(text: str) -> Statement:
    """A text with psycopg's named placeholders as a statement; psycopg would look for them anew at every execution."""
    numbers: dict[str, int] = {}
    text = _PARAMETER.sub(lambda found: f"${numbers.setdefault(found[1], len(numbers) + 1)}", text)
    return Statement(text.replace("%%", "%").encode(), tuple(numbers))


def _holds(config: str) -> sql.Composed:
    """The phrases' condition on a text `c.text` read in a text search configuration."""
    return sql.SQL(_HOLDS).format(config=sql.SQL(config))
