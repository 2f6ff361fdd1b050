from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.run import Citation
from app.services.citations import FootnoteNumbers, Sentence, SentenceSplitter, split

ANSWER = """# Ports

Dr. Ada Brown wrote config.yml for version 1.2.3. It costs 3.50 dollars, i.e. not much! See https://a.example/x?y=1.
Done.

- Set the port. Then restart
- See Fig. 2

| Name | Port |
|------|------|
| web | 80 |

```sh
footnote up. Now
```
配置完成。谢谢！The end… 🎉 Bye"""

CHARACTERS = "ab AB1.!?…。「」\"')[]*#-|`~=>\n\t:,"
PIECES = [
    "e.g.",
    "U.S.",
    "Dr. ",
    "No. ",
    "Inc. ",
    "```",
    "~~~\n",
    "The ",
    " [1]",
    "**",
    "\n- ",
    "\n\n",
    "\n1. ",
    "| a |\n",
]
MORE_PIECES = ["\n====\n", "3. Oktober", "\r\n", "**Bold**\n", "🎉", " word", "終。"]
FRAGMENTS = st.sampled_from([*CHARACTERS, *PIECES, *MORE_PIECES])
MARKDOWN = st.lists(FRAGMENTS, max_size=30).map("".join)


def texts(text: str) -> list[str]:
    return [sentence.text for sentence in split(text)]


@given(MARKDOWN | st.text(max_size=60), st.lists(st.integers(1, 9), max_size=80))
def test_every_way_of_cutting_the_input_gives_the_same_sentences(text: str, sizes: list[int]) -> None:
    splitter = SentenceSplitter()
    sentences: list[Sentence] = []
    rest = text
    for size in sizes:
        sentences += splitter.feed(rest[:size])
        rest = rest[size:]
    sentences += splitter.feed(rest) + splitter.flush()
    assert sentences == split(text)


def test_one_character_at_a_time_is_the_same_too() -> None:
    splitter = SentenceSplitter()
    sentences = [sentence for character in ANSWER for sentence in splitter.feed(character)]
    assert sentences + splitter.flush() == split(ANSWER)


@given(MARKDOWN | st.text(max_size=60))
def test_offsets_are_exact_and_only_space_and_markers_are_left_out(text: str) -> None:
    end = 0
    for sentence in split(text):
        assert text[sentence.start : sentence.end] == sentence.text == sentence.text.strip() != ""
        assert not set(text[end : sentence.start].strip()) - set("-*+•‣#>=~^_(). \t\r\n0123456789")
        end = sentence.end
    assert not set(text[end:].strip()) - set("-*+•‣#>=~^_(). \t\r\n0123456789")


def test_a_whole_answer() -> None:
    assert [(s.text, s.checkable) for s in split(ANSWER)] == [
        ("Ports", False),
        ("Dr. Ada Brown wrote config.yml for version 1.2.3.", True),
        ("It costs 3.50 dollars, i.e. not much!", True),
        ("See https://a.example/x?y=1.", True),
        ("Done.", True),
        ("Set the port.", True),
        ("Then restart", True),
        ("See Fig. 2", True),
        ("| Name | Port |", False),
        ("|------|------|", False),
        ("| web | 80 |", True),
        ("```sh\nfootnote up. Now\n```", False),
        ("配置完成。", True),
        ("谢谢！", True),
        ("The end…", True),
        ("🎉 Bye", True),
    ]


@pytest.mark.parametrize(
    "sentence",
    [
        "Mr. Brown and Mrs. Gray met Prof. White.",
        "It was written by J. R. Brown and A. Gray.",
        "The U.S. Army and the U.K. government agreed.",
        "Take fruit, e.g. Apples or i.e. Pears.",
        "See Fig. 3, No. 5 and pp. 12–14.",
        "Acme Inc. Germany sells it.",
        "Pi is 3.14159 and 1.2.3 is a version.",
        "Open settings.py at www.example.org/a.b and read on.",
        "Wait ... there is more.",
        "“Is it so?” he asked.",
        "It opens at 9 a.m. Monday.",
        "Das war am 3. Oktober in Berlin.",
        "Smith et al. (2019) found it.",
        "This line\nis wrapped in\nthe middle.",
        "Pay with **Visa Co. Cards** only.",
    ],
)
def test_stops_that_end_nothing(sentence: str) -> None:
    assert texts(sentence) == [sentence]
    assert texts(f"{sentence} The next one.") == [sentence, "The next one."]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("He lives in the U.S. The house is old.", ["He lives in the U.S.", "The house is old."]),
        ("It works with 12. Two more are coming.", ["It works with 12.", "Two more are coming."]),
        ("Is it no. That is sad.", ["Is it no.", "That is sad."]),
        ('He said "Go." Then he left.', ['He said "Go."', "Then he left."]),
        ("It holds (mostly.) And then?", ["It holds (mostly.)", "And then?"]),
        ("What?! Really… Yes.", ["What?!", "Really…", "Yes."]),
        ("**Bold.** *Slanted.* Plain.", ["**Bold.**", "*Slanted.*", "Plain."]),
        ("First [1]. Second. [2] Third.[^3] End.", ["First [1].", "Second. [2]", "Third.[^3]", "End."]),
        ("他说：「好。」然后走了。", ["他说：「好。」", "然后走了。"]),
        ("One\n\nTwo", ["One", "Two"]),
        ("Intro:\n1. Eins\n2) Zwei\n* Drei\n  - Vier", ["Intro:", "Eins", "Zwei", "Drei", "Vier"]),
        ("> Quoted.\n> More.", ["Quoted.", "More."]),
        ("Title\n=====\nText.", ["Title", "Text."]),
        ("**Steps:**\nDo it.", ["**Steps:**", "Do it."]),
        ("", []),
        (" \n\t ", []),
        ("- \n---\n", []),
    ],
)
def test_where_sentences_end(text: str, sentences: list[str]) -> None:
    assert texts(text) == sentences


def test_headings_code_and_table_heads_need_no_support() -> None:
    text = "## A heading.\n**Bold line**\n| h |\n|---|\n| cell |\n\n~~~\ncode\n~~~\nUnderlined\n---\nProse."
    assert [s.text for s in split(text) if s.checkable] == ["| cell |", "Prose."]


def test_backticks_within_a_line_open_no_code_block() -> None:
    assert texts("```a``` is code. It is short.") == ["```a``` is code.", "It is short."]


def test_an_unclosed_code_block_reaches_to_the_end() -> None:
    assert [(s.text, s.checkable) for s in split("Run:\n```\na. B\n\nc")] == [("Run:", True), ("```\na. B\n\nc", False)]


def test_a_sentence_is_given_out_as_soon_as_its_end_is_certain() -> None:
    splitter = SentenceSplitter()
    assert splitter.feed("It is open.") == []
    assert splitter.feed(" ") == []
    assert splitter.feed("N") == [Sentence(0, 11, "It is open.")]
    assert splitter.feed("ext year") == []
    assert splitter.flush() == [Sentence(12, 21, "Next year")]


def test_after_a_rewind_a_new_splitter_goes_on_at_its_offset() -> None:
    answer = "Eins ist da. Zwei ist da. Drei"
    first, second, third = split(answer)
    resumed = SentenceSplitter(offset=first.end)
    assert resumed.feed(answer[first.end :]) + resumed.flush() == [second, third]


def citation(start: int, end: int, document: str = "a") -> Citation:
    return Citation(0, 0, 1, "p", document, start, end, "quote", 1.0, "supported")


def test_footnotes_are_numbered_by_first_use_of_a_span() -> None:
    numbers = FootnoteNumbers()
    spans = [(0, 10, "a"), (20, 30, "a"), (0, 10, "b"), (5, 20, "a"), (10, 15, "a"), (30, 40, "a")]
    assert [numbers.number(citation(*span)).index for span in spans] == [1, 2, 3, 1, 1, 4]


def test_an_unsupported_sentence_has_no_footnote() -> None:
    numbers = FootnoteNumbers()
    unsupported = replace(citation(0, 0, ""), verdict="unsupported")
    assert [numbers.number(c).index for c in (unsupported, unsupported, citation(0, 5))] == [0, 0, 1]
