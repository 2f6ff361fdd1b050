import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.sentences import Sentence, SentenceSplitter, split

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

CHARACTERS = "ab AB1.!?…。「」【】†\"')[]*#-|`~=>\n\t:,"
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
    "[1, 2]",
    "【4:0†source】",
    "**",
    "\n- ",
    "\n\n",
    "\n1. ",
    "| a |\n",
]
MORE_PIECES = [
    "\n====\n",
    "3. Oktober",
    "z. B. ",
    "i. d. R. ",
    "u. a. ",
    "vom 3. ",
    "1. bis ",
    "Stock ",
    "\r\n",
    "**Bold**\n",
    "🎉",
    " word",
    "終。",
]
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
        "Herr Dr. Kowalski vom 3. Stock ist z. B. für den Schlüssel zuständig.",
        "Wer das 14. Lebensjahr vollendet hat, zahlt ab dem 1. Januar voll.",
        "Die Bewohner vom 1. bis 3. Stock und der 4. und 5. Etage lüften selbst.",
        "Der 1. Vorsitzende feiert seinen 50. Geburtstag im 2. Obergeschoss.",
        "Im 19. Jahrhundert und im XX. Jahrhundert stand hier nichts, ab 3. Klasse mehr.",
        "Man sieht u. a. Hunde, Katzen o. ä. Tiere, i. d. R. Jungtiere, d. h. Welpen.",
        "Nach Art. 3 und Abs. 2 gilt Nr. 5 bzw. Ziff. 7, vgl. Kap. 4.",
        "Es kostet ca. 30 Euro inkl. Versand.",
        "Das war 44 v. Chr. Geschichte.",
        "La Sra. García vive en una ciudad, p. ej. Madrid.",
        "Il Sig. Rossi abita in una città, p. es. Roma.",
        "Une ville, p. ex. Paris, où vit M. Dupont.",
        "Take fruit, i. e. Apples or e. g. Pears.",
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
        ("It opened in 1986. Nobody knows.", ["It opened in 1986.", "Nobody knows."]),
        ("It is told in chapter 3. Then it ends.", ["It is told in chapter 3.", "Then it ends."]),
        ("I am 30. Nobody knows.", ["I am 30.", "Nobody knows."]),
        ("There are 12. People like them.", ["There are 12.", "People like them."]),
        ("Il y en a 12. Personne ne sait.", ["Il y en a 12.", "Personne ne sait."]),
        ("Son 12. Nadie lo sabe.", ["Son 12.", "Nadie lo sabe."]),
        ("Sono 12. Nessuno lo sa.", ["Sono 12.", "Nessuno lo sa."]),
        ("Er kam am 3. Danach ging er.", ["Er kam am 3.", "Danach ging er."]),
        ("Es kostet 30. Kinder zahlen nichts.", ["Es kostet 30.", "Kinder zahlen nichts."]),
        ("Das Haus ist von 1986. Niemand weiß es.", ["Das Haus ist von 1986.", "Niemand weiß es."]),
        ("Hunde u. a. Das ist alles.", ["Hunde u. a.", "Das ist alles."]),
        ("Is it no. That is sad.", ["Is it no.", "That is sad."]),
        ('He said "Go." Then he left.', ['He said "Go."', "Then he left."]),
        ("It holds (mostly.) And then?", ["It holds (mostly.)", "And then?"]),
        ("What?! Really… Yes.", ["What?!", "Really…", "Yes."]),
        ("**Bold.** *Slanted.* Plain.", ["**Bold.**", "*Slanted.*", "Plain."]),
        ("First [1]. Second. [2] Third.[^3] End.", ["First [1].", "Second. [2]", "Third.[^3]", "End."]),
        ("One. [1, 2] Two.[1-3] Three.［1］ Four.【1】", ["One. [1, 2]", "Two.[1-3]", "Three.［1］", "Four.【1】"]),
        ("One.【4:0†source】【2†L1-L9】 Two.", ["One.【4:0†source】【2†L1-L9】", "Two."]),
        ("好。【1】【注】好。", ["好。【1】", "【注】好。"]),
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


def test_what_follows_a_number_is_read_before_its_stop_is_judged() -> None:
    splitter = SentenceSplitter()
    assert splitter.feed("Er wohnt im 3. Stock") == []
    assert splitter.feed("werk. Sie kam am 3. Da") == [Sentence(0, 25, "Er wohnt im 3. Stockwerk.")]
    assert splitter.feed("nn ") == [Sentence(26, 39, "Sie kam am 3.")]


def test_after_a_rewind_a_new_splitter_goes_on_at_its_offset() -> None:
    answer = "Eins ist da. Zwei ist da. Drei"
    first, second, third = split(answer)
    resumed = SentenceSplitter(offset=first.end)
    assert resumed.feed(answer[first.end :]) + resumed.flush() == [second, third]
