"""Phrases: which quotes ask for words as they stand."""

import pytest

from app.domain.phrases import quoted_phrases, without_quotes


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ('who said "three keepers" here', ("three keepers",)),
        ("„drei Wächter“ und «deux gardiens» and “one keeper”", ("drei Wächter", "deux gardiens", "one keeper")),
        ("»drei Wächter« und »ein Wächter«", ("drei Wächter", "ein Wächter")),
        ("”tre vakter” och »en vakt»", ("tre vakter", "en vakt")),
        ("“港口的灯”在哪里", ("港口的灯",)),
        ('"a lamp" and "a lamp" again', ("a lamp",)),
        ('"  " is nothing', ()),
        ('an inch is 1" long', ()),
        ("it's the keepers' lamp", ()),
    ],
)
def test_words_in_double_quotes_are_phrases(text: str, phrases: tuple[str, ...]) -> None:
    assert quoted_phrases(text) == phrases


def test_quotes_in_a_longer_text_are_punctuation() -> None:
    outside = "x" * 100
    assert quoted_phrases(f'{outside} "three keepers"') == ("three keepers",)
    assert quoted_phrases(f'{outside}y "three keepers"') == ()


def test_the_words_stay_when_the_quotes_go() -> None:
    assert without_quotes('who said "three keepers" here') == "who said three keepers here"
