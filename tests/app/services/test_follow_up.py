"""Whether a question goes on from the one before it, by its words."""

import pytest

from app.services.follow_up import dangling, goes_on, names_of

BEFORE = "How long is the ferry's way to Holm Island?"


@pytest.mark.parametrize(
    "question",
    [
        "And on Sundays?",
        "What about bicycles?",
        "When does it leave?",
        "Who built them in the harbour of Kiel?",
        "Why?",
        "What does a ticket do?",  # one name alone
        "Is there another one with a restaurant and a bar?",
        "Und was kostet die Überfahrt mit einem Fahrrad im Sommer?",  # another language
        "自行车多少钱？",
    ],
)
def test_these_need_the_question_before(question: str) -> None:
    assert goes_on(question, BEFORE)


@pytest.mark.parametrize(
    "question",
    [
        "Which bread does the bakery in Kiel sell?",
        "Why does yeast need sugar to rise?",
        "How many moons does Jupiter have?",
    ],
)
def test_these_can_be_understood_alone(question: str) -> None:
    assert not goes_on(question, BEFORE)


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("How does it work?", "it"),
        ("What do They cost?", "They"),
        ("Why was his work lost?", "his"),
        ("How long does it take to bake a loaf of bread?", None),  # “it” stands for nothing
        ("What does the ferry cost?", None),
        ("Wie geht das it?", None),
    ],
)
def test_words_that_stand_for_something_that_was_not_named(question: str, word: str | None) -> None:
    assert dangling(question) == word


def test_what_can_be_looked_for() -> None:
    assert names_of("Why? What about that one?") == frozenset()
    assert names_of("Which ferries leave on Sundays?") == {"ferry", "leav", "sunday"}
