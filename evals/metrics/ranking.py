"""Ranking: how good an order of documents is, by trec_eval's definitions (through ir-measures)."""

from collections.abc import Mapping, Sequence

from app.domain.errors import ConfigurationError

MEASURES = {"ndcg@10": "nDCG@10", "recall@10": "R@10", "recall@100": "R@100", "map": "AP", "mrr@10": "RR@10"}
"""Our names and ir-measures' names. Gains are linear, AP is over what was retrieved."""

Scores = dict[str, float]


def rank_scores(
    qrels: Mapping[str, Mapping[str, int]], rankings: Mapping[str, Sequence[str]]
) -> tuple[Scores, dict[str, Scores]]:
    """The mean of each measure over all judged queries, and each query's own.

    `rankings[query]` are document ids, best first; a query without any counts as zero.
    Raises ConfigurationError when ir-measures is not installed.
    """
    try:
        import ir_measures  # noqa: PLC0415 - an extra: the other commands do without
    except ImportError as error:
        raise ConfigurationError("Evaluation needs the extra `evals`: install footnote[evals].") from error
    measures = {ir_measures.parse_measure(theirs): ours for ours, theirs in MEASURES.items()}
    # trec_eval orders equal scores by document id, so that ranks become scores that differ
    run = {
        query: {document: float(-rank) for rank, document in enumerate(documents)}
        for query, documents in rankings.items()
        if documents
    }
    per_query = {query: dict.fromkeys(MEASURES, 0.0) for query in qrels}
    graded = {query: dict(grades) for query, grades in qrels.items()}
    for found in ir_measures.iter_calc(list(measures), graded, run):
        per_query[found.query_id][measures[found.measure]] = float(found.value)
    return mean_scores(list(per_query.values())), per_query


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """The mean of each measure; `scores` is not empty and all have the same measures."""
    return {name: sum(each[name] for each in scores) / len(scores) for name in scores[0]}
