"""Exact search: how much of it the index finds."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from app.domain.ports import Vectors
from app.storage.exact import ExactVectors
from evals.runner import Found, K, document_ids

_TOP = 10
_ROUNDING = 1e-5  # of two ways to sum the same products


@dataclass(frozen=True, slots=True)
class ExactSearch:
    """For each query: the share of the exact top 10 chunks that the index found too, and the exact ranking."""

    recall: dict[str, float]
    documents: dict[str, list[str]]


def search_exactly(stored: ExactVectors, queries: Mapping[str, Vectors], found: Mapping[str, Found]) -> ExactSearch:
    """Compare with the scan of every vector; a chunk as similar as the tenth is as good as it."""
    place = {chunk: i for i, chunk in enumerate(stored.chunk_ids)}
    exact = ExactSearch({}, {})
    for query, vector in queries.items():
        similarity = stored.similarities(vector)
        best = np.argsort(-similarity, kind="stable")[:K]
        least = similarity[best[:_TOP][-1]] - _ROUNDING
        hits = [place[passage.id] for passage in found[query].passages[:_TOP] if passage.id in place]
        exact.recall[query] = sum(bool(similarity[hit] >= least) for hit in hits) / min(_TOP, len(best))
        exact.documents[query] = document_ids(stored.uris[i] for i in best)
    return exact
