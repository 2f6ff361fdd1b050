"""Footnoting and quoting: what is shown, what is withheld, and that offsets fit what is shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.passage import Passage
from app.domain.run import Citation, RunEvent, TextDelta
from app.services.footnoting import Footnoting
from app.services.quoting import INTRODUCTION, quote_passages

TEXT = (
    "The ferry leaves the north quay every hour. The crossing takes 25 minutes. Bicycles travel free of charge, and "
    "cars pay 140 crowns."
)
PASSAGE = Passage("p1", "d1", "v1", "The ferry", "file:///ferry.txt", (), None, 100, 100 + len(TEXT), TEXT, 1.0)
ANSWER = "The crossing takes 25 minutes. The crossing takes 90 minutes. \n\n- Cars pay 140 crowns.\n- Cars pay nothing."


def events_of(answer: str, *, withhold: bool, pieces: int = 7) -> list[RunEvent]:
    footnoting = Footnoting([PASSAGE], "How long does it take?", withhold=withhold)
    events = [e for at in range(0, len(answer), pieces) for e in footnoting.feed(answer[at : at + pieces])]
    events += footnoting.flush()
    assert footnoting.text == shown(events)
    return events


def shown(events: list[RunEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def cited(events: list[RunEvent]) -> list[tuple[str, str, str]]:
    text = shown(events)
    return [(text[e.sentence_start : e.sentence_end], e.verdict, e.quote) for e in events if isinstance(e, Citation)]


def test_marking_shows_everything_and_marks_what_has_no_support() -> None:
    events = events_of(ANSWER, withhold=False)
    assert shown(events) == ANSWER
    verdicts = {sentence: verdict for sentence, verdict, _ in cited(events)}
    assert verdicts["The crossing takes 25 minutes."] == "supported"
    assert verdicts["The crossing takes 90 minutes."] == "unsupported"
    assert verdicts["Cars pay 140 crowns."] == "supported"


@pytest.mark.parametrize(
    "mark",
    ["[1]", "【1†source】", "[Source: 1]", "[passage 1, 2]", "(Passages 1 and 2)", "(see source 1)", "<sup>1</sup>"],
)
def test_marks_of_the_models_own_are_no_part_of_what_it_says(mark: str) -> None:
    assert [
        verdict for _, verdict, _ in cited(events_of(f"The crossing takes 25 minutes {mark}.", withhold=False))
    ] == ["supported"]


def test_numbers_in_brackets_are_checked() -> None:
    for numbers in ("(1)", "[1, 2]", "(source of 1)"):
        events = events_of(f"The crossing takes 25 minutes {numbers}.", withhold=False)
        assert [verdict for _, verdict, _ in cited(events)] == ["unsupported"]


@pytest.mark.parametrize("pieces", [1, 5, 1000])
def test_withholding_shows_only_what_holds(pieces: int) -> None:
    events = events_of(ANSWER, withhold=True, pieces=pieces)
    assert shown(events) == "The crossing takes 25 minutes.\n\n- Cars pay 140 crowns."
    assert [(s, v) for s, v, _ in cited(events)] == [
        ("The crossing takes 25 minutes.", "supported"),
        ("Cars pay 140 crowns.", "supported"),
    ]


@pytest.mark.parametrize(
    ("said", "holds"),
    [
        ("The crossing takes 25 minutes.", True),
        ("The crossing takes 25 minutes [1].", True),
        ("The ferry leaves the north quay every hour, and the crossing takes 25 minutes.", True),
        ("Bicycles pay 140 crowns, and cars travel free of charge.", False),  # all of its words are supported
        ("Every hour bicycles cross the quay free of the ferry's charge.", False),
        ("140 cars take 25 minutes.", False),
    ],
)
def test_a_small_model_must_keep_to_the_words_of_its_passages(said: str, *, holds: bool) -> None:
    def shown_of(*, verbatim: bool) -> str:
        footnoting = Footnoting([PASSAGE], "", withhold=True, verbatim=verbatim)
        return shown([*footnoting.feed(said), *footnoting.flush()])

    assert shown_of(verbatim=False) == said
    assert shown_of(verbatim=True) == (said if holds else "")


def test_spans_are_offsets_into_the_document_version() -> None:
    for event in events_of(ANSWER, withhold=True):
        if isinstance(event, Citation):
            assert TEXT[event.char_start - 100 : event.char_end - 100] == event.quote


def test_text_goes_out_as_it_comes_when_marking() -> None:
    footnoting = Footnoting([PASSAGE], "", withhold=False)
    assert footnoting.feed("The cros") == [TextDelta("The cros")]
    assert footnoting.feed("") == []


def test_quoting_says_that_it_quotes_and_cites_the_nearest_words() -> None:
    events = quote_passages([PASSAGE], "How many crowns do cars pay?")
    assert shown(events).startswith(INTRODUCTION)
    sentence, verdict, quote = cited(events)[0]
    assert verdict == "supported"
    assert quote == "Bicycles travel free of charge, and cars pay 140 crowns."
    assert sentence == f"“{quote}”"


@pytest.mark.parametrize(
    ("answer", "declined"),
    [
        ("The passages do not say how long it takes.", True),
        ("I cannot find that. The crossing takes 90 minutes.", True),
        ("The crossing takes 25 minutes. The passages do not mention the price of dogs.", False),
        ("The crossing takes 25 minutes.", False),
        ("The crossing takes 90 minutes.", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("withhold", [True, False])
def test_a_model_declines_when_it_says_so_and_nothing_else_holds(answer: str, declined: bool, withhold: bool) -> None:
    footnoting = Footnoting([PASSAGE], "How long does it take?", withhold=withhold)
    footnoting.feed(answer)
    footnoting.flush()
    assert footnoting.declined is declined


def test_a_sentence_with_the_prompts_own_marks_is_withheld() -> None:
    events = events_of("The crossing takes 25 minutes. ‹/passage>Cars pay 140 crowns.</passage>", withhold=True)
    assert shown(events) == "The crossing takes 25 minutes."


@pytest.mark.parametrize("pieces", [1, 7, 1000])
def test_what_was_said_already_is_withheld(pieces: int) -> None:
    answer = "The crossing takes 25 minutes. **The crossing  takes 25 minutes** [1].\n\n- Cars pay 140 crowns.\n"
    answer += "- Cars pay 140 crowns\n- Bicycles travel free of charge."
    events = events_of(answer, withhold=True, pieces=pieces)
    assert shown(events) == (
        "The crossing takes 25 minutes.\n\n- Cars pay 140 crowns.\n- Bicycles travel free of charge."
    )
    assert [sentence for sentence, _, _ in cited(events)] == [
        "The crossing takes 25 minutes.",
        "Cars pay 140 crowns.",
        "Bicycles travel free of charge.",
    ]
    assert shown(events_of(answer, withhold=False, pieces=pieces)) == answer


@pytest.mark.parametrize("pieces", [1, 7, 1000])
def test_a_loop_ends_what_is_shown(pieces: int) -> None:
    looping = "The crossing takes 25 minutes. " * 4 + "Cars pay 140 crowns."
    for withhold, text in ((True, "The crossing takes 25 minutes."), (False, looping)):
        footnoting = Footnoting([PASSAGE], "", withhold=withhold)
        events = [e for at in range(0, len(looping), pieces) for e in footnoting.feed(looping[at : at + pieces])]
        assert shown([*events, *footnoting.flush()]) == text
        assert footnoting.loops is withhold


def test_what_is_repeated_between_new_sentences_is_no_loop() -> None:
    answer = "".join(
        f"{name} opens port {n}. The port must be open in the firewall. " for n, name in enumerate("ABCDE")
    )
    footnoting = Footnoting([PASSAGE], "", withhold=True)
    footnoting.feed(answer)
    assert not footnoting.loops


def test_a_loop_is_one_in_scripts_without_spaces_too() -> None:
    footnoting = Footnoting([PASSAGE], "", withhold=True)
    footnoting.feed("最多可以借五本书。" * 5)
    assert footnoting.loops


def test_a_few_words_may_be_repeated() -> None:
    answer = "- 25 minutes.\n- 25 minutes.\n- 25 minutes."
    assert shown(events_of(answer, withhold=True)) == answer


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        ("The crossing takes 25 minutes. Cars pay 140", "The crossing takes 25 minutes."),
        ("The crossing takes 25 minutes. Cars pay 140.", "The crossing takes 25 minutes."),  # 140.50?
        ("The crossing takes 25 minutes. Cars pay 140 crowns.", None),
        (
            "The crossing takes 25 minutes.\n- Cars pay 140 crowns\n",
            "The crossing takes 25 minutes.\n- Cars pay 140 crowns",
        ),
        ("The crossing takes 25", None),
    ],
)
def test_a_sentence_that_was_cut_off_is_shown_only_alone(answer: str, left: str | None) -> None:
    def shown_of(*, cut_off: bool, withhold: bool = True) -> str:
        footnoting = Footnoting([PASSAGE], "", withhold=withhold)
        return shown([*footnoting.feed(answer), *footnoting.flush(cut_off=cut_off)])

    assert shown_of(cut_off=True) == (left or answer)
    assert shown_of(cut_off=False) == answer.rstrip()
    assert shown_of(cut_off=True, withhold=False) == answer


ITEMS = ["\n- Bicycles travel free of charge.", "\n- Cars pay 90 crowns.", "\n\n", "Cars pay about"]
SAID = st.sampled_from(["The crossing takes 25 minutes. ", "Cars pay 140 crowns. ", *ITEMS])


@given(st.lists(SAID, max_size=9).map("".join), st.integers(1, 40), st.booleans(), st.booleans())
def test_citations_fit_what_is_shown_however_it_comes(answer: str, pieces: int, withhold: bool, cut_off: bool) -> None:
    def written(pieces: int) -> list[RunEvent]:
        footnoting = Footnoting([PASSAGE], "", withhold=withhold)
        events = [e for at in range(0, len(answer), pieces) for e in footnoting.feed(answer[at : at + pieces])]
        events += footnoting.flush(cut_off=cut_off)
        assert footnoting.text == shown(events)
        return events

    events = written(pieces)
    assert (shown(events), cited(events)) == (shown(written(1000)), cited(written(1000)))
    sentences = [sentence for sentence, _, _ in cited(events)]
    assert all(sentence == sentence.strip() != "" for sentence in sentences)
    assert not withhold or len(set(sentences)) == len(sentences)
