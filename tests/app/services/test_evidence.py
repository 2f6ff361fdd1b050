"""Evidence: what speaks for an answer, and the probability that follows from it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from app.domain.passage import Passage
from app.domain.ports import Vectors
from app.services.evidence import (
    CLOSE_LOOK,
    KNOWN_COSINES,
    OTHER_COSINES,
    OTHER_LANGUAGES,
    EvidenceGate,
    bodies,
    looked_closely,
    read_evidence,
    unmentioned,
)

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
UNRELATED = "Who won the chess tournament?"


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


class Tokens:
    """Says the same of every passage, and counts how often it was asked."""

    def __init__(self, *nearest: float) -> None:
        self.nearest = np.array(nearest, np.float32)
        self.read: list[Sequence[str]] = []

    async def nearest_tokens(self, question: str, texts: Sequence[str]) -> list[Vectors]:
        self.read.append(texts)
        return [self.nearest for _ in texts]


def test_more_evidence_is_more_probable() -> None:
    near = KNOWN_COSINES.probability(read_evidence(QUESTION, FOUND))
    far = KNOWN_COSINES.probability(read_evidence(UNRELATED, FOUND))
    nothing_near = KNOWN_COSINES.probability(
        read_evidence(UNRELATED, [replace(p, similarity=0.05, lexical=None) for p in FOUND])
    )
    assert near > 0.8 > far > nothing_near
    assert nothing_near < 0.02


def test_a_close_look_takes_the_passage_whose_tokens_are_nearest() -> None:
    near, far = np.array([0.9, 0.5, 0.8, 0.4, 0.6], np.float32), np.full(5, 0.45, np.float32)
    evidence = looked_closely(read_evidence(QUESTION, FOUND), [far, near])
    assert evidence.closeness == pytest.approx(0.64)
    assert evidence.farthest == pytest.approx(0.5)
    assert evidence.similarity == 0.6
    farther = looked_closely(evidence, [far])
    assert CLOSE_LOOK.probability(evidence) > CLOSE_LOOK.probability(farther)


def test_headings_are_not_compared() -> None:
    titled = replace(FOUND[0], title="Ferries", heading_path=("Ferries", "To the island"))
    texts = [
        "# Ferries\n\n## To the island\n\n" + FERRY,
        "Ferries\n=======\n\n" + FERRY,
        "To the island is a way.",
        "# Ferries",
    ]
    passages = [replace(titled, text=text) for text in texts]
    assert bodies(passages[:3]) == [FERRY, FERRY, "To the island is a way."]
    assert bodies(passages[3:]) == ["# Ferries"]


async def test_the_gate_looks_closely_only_where_it_is_not_sure() -> None:
    tokens = Tokens(0.9, 0.9, 0.9, 0.9)
    gate = EvidenceGate(0.07, tokens)
    assert await gate.opens(QUESTION, FOUND)
    assert tokens.read == []
    doubtful = [replace(p, similarity=0.1, lexical=None) for p in FOUND] * 2
    assert await gate.opens(UNRELATED, doubtful)
    assert tokens.read == [[FERRY, BAKERY, FERRY]]
    assert not await EvidenceGate(0.07, Tokens(0.1, 0.2, 0.1)).opens(UNRELATED, doubtful)


async def test_a_gate_that_wants_more_than_being_sure_looks_closely_too() -> None:
    tokens = Tokens(0.2, 0.2, 0.2)
    assert not await EvidenceGate(0.99, tokens).opens(QUESTION, FOUND)
    assert len(tokens.read) == 1


async def test_cosines_count_at_face_value_only_where_they_were_calibrated() -> None:
    # between what all cosines alike say, high or low: a gate that minds would differ
    alike = [[replace(p, similarity=cosine) for p in FOUND] for cosine in (0.9, 0.05)]
    least = OTHER_COSINES.probability(read_evidence(QUESTION, alike[0]))
    for passages in alike:
        assert await EvidenceGate(least - 0.001, None).opens(QUESTION, passages)
        assert not await EvidenceGate(least + 0.001, None).opens(QUESTION, passages)


async def test_other_languages_have_weights_of_their_own_and_no_close_look() -> None:
    tokens, asked = Tokens(0.1), "Wie lange dauert die Überfahrt?"
    german = [passage(FÄHRE, 0.9, 9.0), passage(FÄHRE[:40], 0.9, 1.0)]
    least = OTHER_LANGUAGES.probability(read_evidence(asked, german))
    assert await EvidenceGate(least - 0.001, tokens).opens(asked, german)
    assert not await EvidenceGate(least + 0.001, tokens).opens(asked, german)
    assert tokens.read == []


@pytest.mark.parametrize(
    ("question", "opens"),
    [
        ("Welche Farbe hat der Mars?", False),
        ("Was besagt die Relativitätstheorie?", False),
        ("Was ist die Hauptstadt von Peru?", False),
        ("Wie lange dauert die Überfahrt?", True),
        ("Wann beginnt die Kündigungsfrist?", True),
    ],
)
async def test_a_german_question_about_something_else_is_refused(question: str, opens: bool) -> None:
    lease = "Die Miete beträgt 850 Euro. Die Kündigungsfrist beträgt drei Monate, ohne Nebenkosten und ohne Kaution."
    rules = "Der Müll steht am Abend vor dem Haus. Nach 22 Uhr ist Lärm verboten."
    found = [passage(text, cosine, None) for text, cosine in ((lease, 0.27), (FÄHRE, 0.24), (rules, 0.18))]
    assert await EvidenceGate(0.07, Tokens(0.1)).opens(question, found) is opens


def test_the_share_of_long_words_counts_inflections_and_compounds() -> None:
    lease = [passage("Die Kündigungsfrist beträgt drei Monate.", 0.2, None), FOUND[1]]
    shares = [
        read_evidence(asked, lease).beginnings for asked in ("Wie kündige ich?", "Kündigung und Kaution?", "Wie?")
    ]
    assert shares == [1.0, 0.5, 0.0]


async def test_nothing_found_answers_nothing_and_zero_answers_always() -> None:
    for tokens in (None, Tokens(0.0)):
        assert not await EvidenceGate(0, tokens).opens(QUESTION, [])
        assert await EvidenceGate(0, tokens).opens("?", FOUND)
        assert await EvidenceGate(0, tokens).opens(QUESTION, [passage("", None, None)])


def test_words_that_no_passage_has_are_named_once_and_as_they_were_asked() -> None:
    assert unmentioned("When do Ferries to Zanzibar leave for Zanzibar?", FOUND) == ["Zanzibar"]
    assert unmentioned("What about the guides?", FOUND) == []
