import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services.claims import disagreements, join_claims, read_claim
from app.services.quantities import Quantity
from app.services.words import stem


def found(sentence: str, evidence: str) -> list[str]:
    read = read_claim(evidence)
    return disagreements(read_claim(sentence), read, read.words)


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("1,000 files", "1000", ""),
        ("1000.0 files", "1000", ""),
        ("twelve files", "12", ""),
        ("twenty-five files", "25", ""),
        ("two hundred files", "200", ""),
        ("3.5 million files", "3500000", ""),
        ("25 % of all", "25", "%"),
        ("25 percent of all", "25", "%"),
        ("twenty-five per cent of all", "25", "%"),
        ("$5 a month", "5", "$"),
        ("US$5 a month", "5", "$"),
        ("5 dollars", "5", "$"),
        ("$5m", "5000000", "$"),
        ("$5 million", "5000000", "$"),
        ("10MB", "10", "mb"),
        ("10 megabytes", "10", "mb"),
        ("five kilometres", "5", "km"),
        ("the 19th century", "19", "th"),
        ("the nineteenth century", "19", "th"),
        ("the 21st", "21", "th"),
        ("the twenty-first", "21", "th"),
        ("the 1990s", "1990", ""),
        ("one hour", "1", "h"),
        ("port 1", "1", ""),
    ],
)
def test_quantities_have_one_spelling(text: str, value: str, unit: str) -> None:
    assert read_claim(text).quantities == {Quantity(value, unit)}


@pytest.mark.parametrize("text", ["one of the files", "the first file", "version 1.2.3", "a 3D model", "It is so [2]."])
def test_what_is_no_quantity(text: str) -> None:
    assert read_claim(text).quantities == frozenset()


def test_a_short_range_is_written_out() -> None:
    assert {q.value for q in read_claim("in 1946–49").quantities} == {"1946", "1949"}
    assert {q.value for q in read_claim("on 2010-11-12").quantities} == {"2010", "11", "12"}


@pytest.mark.parametrize(
    ("sentence", "evidence"),
    [
        ("It takes 1000 files.", "It takes 1,000 files."),
        ("It takes twelve files.", "It takes 12 files."),
        ("It lasts 30 days.", "It lasts thirty days."),
        ("成人票价为25元。", "成人票价为二十五元。"),
        ("它成立于二〇二六年，有一万二千人。", "它成立于2026年，有12000人。"),
        ("有三人。", "有3人。"),
        ("万一停电，十分危险。", "停电十分危险。"),
        ("It weighs 5.", "It weighs 5 kg."),
        ("It needs 1 server.", "It needs one server."),
    ],
)
def test_numbers_that_agree(sentence: str, evidence: str) -> None:
    assert found(sentence, evidence) == []


@pytest.mark.parametrize(
    ("sentence", "evidence"),
    [
        ("It takes 1001 files.", "It takes 1,000 files."),
        ("成人票价为三十元。", "成人票价为二十五元。"),
        ("渡轮需要三天。", "渡轮需要五天。"),
        ("It takes eleven files.", "It takes 12 files."),
        ("It lasts 30 hours.", "It lasts thirty days."),
        ("It weighs 5 pounds.", "It weighs 5 kg."),
        ("It costs €5.", "It costs $5."),
        ("It makes 5 billion.", "It makes 5 million."),
        ("It was the second.", "It was the third."),
        ("It began in 1947.", "It began in 1946."),
        ("It is in [1, 5] at most.", "It is in [1, 4] at most."),
    ],
)
def test_numbers_that_differ(sentence: str, evidence: str) -> None:
    assert found(sentence, evidence) == ["number"]


def test_dates() -> None:
    evidence = "On Monday, 12 March 2021, the march began."
    assert found("It began on March 12, 2021.", evidence) == []
    assert found("It began on 12 April 2021.", evidence) == ["date"]
    assert found("It began on a Tuesday.", evidence) == ["date"]
    assert found("They may march.", evidence) == []


@pytest.mark.parametrize(
    "sentence",
    [
        "The importer is by Keller.",
        "Maria Keller wrote the importer.",
        "Engineers wrote the importer.",
        "The Turkish importer is by Keller.",
        "“Programmers” wrote it.",
    ],
)
def test_names_that_are_known_or_none(sentence: str) -> None:
    assert found(sentence, "Maria Keller from Turkey wrote the importer.") == []


@pytest.mark.parametrize(
    "sentence", ["The importer is by Weber.", "Peter Keller wrote it.", "Robert is the author.", "It is from NASA."]
)
def test_names_that_are_unknown(sentence: str) -> None:
    assert found(sentence, "Maria Keller from Turkey wrote the importer.") == ["name"]


@pytest.mark.parametrize(
    ("sentence", "evidence"),
    [
        ("The key is not stored.", "The key is never stored."),
        ("The key isn't stored.", "The key is stored nowhere, so it is not stored."),
        ("The key is stored.", "The key is stored, though not in the log."),
        ("It cannot exceed 5 MB.", "It is limited to 5 MB."),
        ("It is not only fast.", "It is fast and small."),
        ("密码不会被存储。", "密码从不会被存储。"),
        ("两者价格不同。", "两者的价格不同。"),
        ("狗不能上船。", "禁止狗上船。"),
        ("子供は乗れない。", "子供は乗れません。"),
        ("鍵を入力しなければならない。", "鍵を入力する。"),
        ("Hunde dürfen nicht mit.", "Hunde dürfen nie mit."),
        ("It is set in Open Sans, as SEM images show.", "It is set in Open Sans; SEM images show it."),
        ("Guinea pigs live in burrows.", "Guinea pigs do not burrow but live in burrows."),
    ],
)
def test_negations_that_agree(sentence: str, evidence: str) -> None:
    assert found(sentence, evidence) == []


@pytest.mark.parametrize(
    ("sentence", "evidence"),
    [
        ("The key is not stored.", "The key is stored."),
        ("The key isn’t stored.", "The key is stored."),
        ("The key is stored.", "The key is not stored."),
        ("The key is stored.", "The key is never stored."),
        ("It works without a key.", "It works with a key."),
        ("儿童不能免费乘坐渡轮。", "儿童免费乘坐渡轮。"),
        ("儿童免费乘坐渡轮。", "儿童不能免费乘坐渡轮。"),
        ("子供は乗れません。", "子供は乗れます。"),
        ("子供は乗れます。", "子供は乗れません。"),
        ("La clé n'est pas stockée.", "La clé est stockée."),
        ("La clave no se guarda.", "La clave se guarda."),
        ("Ключ не хранится.", "Ключ хранится."),
        ("It is not a non-binding plan.", "It is a non-binding plan."),
        ("הכניסה לילדים אינה חינם.", "הכניסה לילדים היא חינם."),
        ("Nobody can read it.", "The owner can read it."),
    ],
)
def test_negations_that_differ(sentence: str, evidence: str) -> None:
    assert found(sentence, evidence) == ["negation"]


def test_what_one_text_affirms_the_other_does_not_deny() -> None:
    joined = join_claims([read_claim("The key is not stored."), read_claim("The hash is stored in the key ring.")])
    assert "stor" not in joined.denied
    assert joined.negates


@pytest.mark.parametrize(
    "words",
    [
        ("file", "files"),
        ("locate", "locates", "located", "locating"),
        ("box", "boxes"),
        ("city", "cities"),
        ("stop", "stopped", "stopping"),
        ("quick", "quickly"),
        ("call", "called", "calling"),
    ],
)
def test_forms_of_a_word_share_a_stem(words: tuple[str, ...]) -> None:
    assert len({stem(word) for word in words}) == 1


def test_stems_keep_words_apart() -> None:
    assert len({stem(word) for word in ("status", "state", "red", "reed", "this", "bus", "address", "größe")}) == 8


def test_scripts_without_word_breaks_are_read_in_pairs() -> None:
    assert {"端口", "默认"} <= read_claim("默认端口是8000。").words
    assert "8000" in read_claim("默认端口是8000。").words


def test_acronyms_are_read_with_or_without_stops() -> None:
    assert found("It is sold in the US.", "It is sold in the U.S. and elsewhere.") == []
    assert found("It is sold in the UK.", "It is sold in the U.S. and elsewhere.") == ["name"]


@given(st.text(max_size=200))
def test_any_text_can_be_read_and_agrees_with_itself(text: str) -> None:
    claim = read_claim(text)
    assert disagreements(claim, claim, claim.words | claim.names) == []
