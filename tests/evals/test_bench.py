"""The benchmark's own instruments: exact BM25, the synthetic corpus, recall in a scope."""

from math import log

import numpy as np
import pytest

from app.storage.exact import ExactVectors
from evals.bench.bm25 import ExactBm25, overlap
from evals.bench.probes import Narrowing, make_probes
from evals.bench.stored import Stored
from evals.bench.synthetic import FIELDS, SHARES, SyntheticCorpus

CHUNKS = [(["tide", "moon"], [2, 1]), (["moon"], [1]), (["bread"], [4])]


def test_bm25_is_the_published_formula() -> None:
    bm25 = ExactBm25(CHUNKS, k1=1.2, b=0.75)
    average = 8 / 3

    def term(frequency: int, chunks: int, length: int) -> float:
        idf = log(1 + (3 - chunks + 0.5) / (chunks + 0.5))
        return idf * frequency * 2.2 / (frequency + 1.2 * (0.25 + 0.75 * length / average))

    wanted = [2 * term(1, 2, 3) + term(2, 1, 3), 2 * term(1, 2, 1), 0]
    assert bm25.scores({"moon": 2, "tide": 1, "unheard": 1}) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("found", "share"), [([0, 1], 1.0), ([1, 0], 1.0), ([0, 3], 1.0), ([0, 2], 0.5), ([0, 0], 0.5), ([2], 0.0)]
)
def test_overlap_takes_a_tie_for_as_good(found: list[int], share: float) -> None:
    assert overlap(np.array([3.0, 1.0, 0.5, 1.0]), found, top=2) == share


def test_the_corpus_follows_from_its_seed() -> None:
    one, same, other = SyntheticCorpus(400), SyntheticCorpus(400), SyntheticCorpus(400, seed=2)
    assert one.document(7).texts == same.document(7).texts != other.document(7).texts
    assert np.array_equal(one.document(7).vectors, same.document(7).vectors)
    assert [probe.text for probe in make_probes(one, 12)] == [probe.text for probe in make_probes(same, 12)]


def test_chunks_lie_around_their_topics() -> None:
    corpus = SyntheticCorpus(4000)
    documents = [corpus.document(number) for number in range(300)]
    vectors = np.concatenate([document.vectors for document in documents])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(vectors)), abs=1e-5)
    topics = np.repeat([document.topic for document in documents], 4)
    similarity = vectors @ vectors.T
    same = topics[:, None] == topics
    np.fill_diagonal(same, val=False)
    assert similarity[same].mean() > 0.3
    assert abs(similarity[topics[:, None] != topics].mean()) < 0.1


def test_fields_keep_their_shares_of_the_documents() -> None:
    corpus = SyntheticCorpus(4000)
    metadata = [corpus.document(number).metadata for number in range(corpus.documents)]
    for name in FIELDS:
        kept = [one for one in metadata if one[name] == "yes"]
        assert len(kept) == round(SHARES[name.partition("_")[2]] * corpus.documents)
        topics = len({one["topic"] for one in kept})
        if name == "tied_10":
            assert topics < 30  # of 200
        if name == "free_10":
            assert topics > 60


def test_recall_counts_what_is_in_scope() -> None:
    matrix = np.eye(4, dtype=np.float16)
    stored = Stored(
        ExactVectors(tuple("abcd"), (), matrix),
        {"a": 0, "b": 1, "c": 2, "d": 3},
        np.array(["x", "x", "y", "y"]),
        {"free_50": np.array([True, False, True, False])},
    )
    similarity = np.array([0.9, 0.8, 0.7, 0.6], np.float32)
    kept = stored.passing(Narrowing("x", None))
    assert stored.recall(similarity, kept, ["a", "c"], top=2) == 0.5
    assert stored.recall(similarity, kept, ["b", "a"], top=1) == 0
    assert stored.recall(similarity, stored.passing(Narrowing(None, "free_50")), ["a", "c"]) == 1
    assert stored.recall(similarity, stored.passing(Narrowing("y", "free_50")), []) == 0
    assert stored.recall(similarity, np.zeros(4, bool), []) is None
