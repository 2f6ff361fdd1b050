"""Evidence: what speaks for an answer, and the probability that follows from it."""

from dataclasses import replace

import pytest

from app.domain.passage import Passage
from app.services.evidence import answerable, read_evidence, unmentioned

FERRY = (
    "The ferry to the island leaves the north quay every hour. The crossing takes 25 minutes, and bicycles travel free "
    "of charge. In winter the last boat of the day leaves at six."
)
BAKERY = (
    "The bakery opens at seven. Bread with seeds is sold on Fridays, and the oven is heated with wood from the hills."
)
FÄHRE = "Die Fähre zur Insel fährt stündlich vom Nordkai ab. Die Überfahrt dauert 25 Minuten, Fahrräder sind frei."


def passage(text: str, similarity: float | None, lexical: float | None, title: str = "Guide") -> Passage:
    return Passage(
        id=text[:9],
        document_id="d",
        version_id="v",
        title=title,
        uri="u",
        heading_path=(),
        page=None,
        char_start=0,
        char_end=len(text),
        text=text,
        score=1.0,
        similarity=similarity,
        lexical=lexical,
    )


FOUND = [passage(FERRY, 0.6, 9.0), passage(BAKERY, 0.1, None)]
QUESTION = "How long does the crossing take?"


def test_each_feature_says_what_it_says() -> None:
    evidence = read_evidence(QUESTION, FOUND)
    assert evidence.similarity == 0.6
    assert evidence.similarity_gap == pytest.approx(0.5)
    assert evidence.lexical_margin == 9.0
    # “crossing” and “take” stand in one sentence, “long” nowhere
    assert 0.5 < evidence.sentence < 1
    assert evidence.coverage_gap == pytest.approx(evidence.sentence)


def test_a_title_covers_words_too() -> None:
    titled = [replace(FOUND[0], title="How long it takes"), FOUND[1]]
    assert read_evidence(QUESTION, titled).coverage_gap == pytest.approx(1.0)


def test_more_evidence_is_more_probable() -> None:
    near = answerable(QUESTION, FOUND, packaged_embedder=True)
    far = answerable("Who won the chess tournament?", FOUND, packaged_embedder=True)
    nothing_near = answerable(
        "Who won the chess tournament?",
        [replace(p, similarity=0.05, lexical=None) for p in FOUND],
        packaged_embedder=True,
    )
    assert near > 0.8 > far > nothing_near
    assert nothing_near < 0.02


def test_cosines_count_at_face_value_only_where_they_were_calibrated() -> None:
    alike = [replace(p, similarity=0.9) for p in FOUND]
    low = [replace(p, similarity=0.2) for p in FOUND]
    other = {"packaged_embedder": False}
    assert answerable(QUESTION, alike, **other) == pytest.approx(answerable(QUESTION, low, **other))
    assert answerable(QUESTION, alike, packaged_embedder=True) > answerable(QUESTION, low, packaged_embedder=True)
    german = [passage(FÄHRE, 0.9, 9.0), passage(FÄHRE[:40], 0.9, 1.0)]
    german_low = [replace(p, similarity=0.2) for p in german]
    asked = "Wie lange dauert die Überfahrt?"
    assert answerable(asked, german, packaged_embedder=True) == pytest.approx(
        answerable(asked, german_low, packaged_embedder=True)
    )


def test_nothing_found_answers_nothing() -> None:
    assert answerable(QUESTION, [], packaged_embedder=True) == 0.0
    assert 0 < answerable("?", FOUND, packaged_embedder=True) < 1
    assert 0 < answerable(QUESTION, [passage("", None, None)], packaged_embedder=False) < 1


def test_words_that_no_passage_has_are_named_once_and_as_they_were_asked() -> None:
    assert unmentioned("When do Ferries to Zanzibar leave for Zanzibar?", FOUND) == ["Zanzibar"]
    assert unmentioned("What about the guides?", FOUND) == []
