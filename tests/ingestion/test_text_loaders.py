"""Text loaders: Markdown, reStructuredText and plain text keep their source; headings are found where they are."""

import codecs
from base64 import b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.document import ParsedDocument
from app.domain.errors import EmptyFile, UnreadableFile
from ingestion.loaders import markdown, restructuredtext
from ingestion.loaders.characters import clean, decode
from ingestion.loaders.dispatch import load


def outline(document: ParsedDocument) -> list[tuple[int, str, str]]:
    """Level, title and the line at which each heading starts."""
    return [(h.level, h.title, document.text[h.char_start :].split("\n", 1)[0]) for h in document.headings]


def test_markdown_headings_are_those_that_commonmark_sees() -> None:
    text = """\
# The `make` *command* [here](x.html) {#make}

Text

Two lines
of a title
---

```sh
# not a heading
```

    # code

> # quoted

- # in a list

#no-space

| # | a |
|---|---|

## Last ##
"""
    document = load(Path("a.md"), text.encode())
    assert outline(document) == [
        (1, "The make command here", "# The `make` *command* [here](x.html) {#make}"),
        (2, "Two lines of a title", "Two lines"),
        (2, "Last", "## Last ##"),
    ]
    assert document.title == "The make command here"
    assert document.text == text


def test_a_long_table_of_markdown_has_its_header_on_every_piece_and_headings_stay_where_they_are() -> None:
    top, rows = "| Name | Seats |\n|:--|--:|\n", [f"| ship {number} | {number * 7} |" for number in range(60)]
    table = top + "\n".join(rows)
    text = f"# Ships\n\n```\n{table}\n```\n\n{table}\n\n## Ports\n\n{table}\n\n### Last\n"
    document = load(Path("a.md"), text.encode())
    assert outline(document) == [(1, "Ships", "# Ships"), (2, "Ports", "## Ports"), (3, "Last", "### Last")]
    fenced, *blocks = [block for block in document.text.split("\n\n") if "ship" in block]
    assert fenced == f"```\n{table}\n```"
    assert len(blocks) > 6
    assert all(block.startswith(top) for block in blocks)
    assert [row for block in blocks for row in block.split("\n")[2:]] == rows * 2


@pytest.mark.parametrize(
    ("before", "prefix"),
    [
        ("", "> "),
        ("> Said:\n>\n", "> "),
        ("> > Said:\n", ">> "),
        ("1.  one\n\n", "    "),
        ("- one\n  - two\n    1. three\n\n", " " * 7),
        ("> - one\n>   - two\n>\n", ">     "),
        ("- one\n  - two\n\n    ~~~\n    x\n    ~~~\n\n", "    "),
        ("> ```\n> unclosed, so it ends with the quotation\n\n", "> "),
    ],
)
def test_a_long_table_in_a_quotation_or_a_list_has_its_header_on_every_piece(before: str, prefix: str) -> None:
    lines = ["| Name | Seats |", "|---|---|", *(f"| ship {number} | {number * 7} |" for number in range(60))]
    lines = [prefix + line for line in lines]
    document = load(Path("a.md"), (before + "\n".join(lines) + "\n\nEnd | of | it.\n").encode())
    assert document.text.startswith(before)
    *blocks, end = document.text.removeprefix(before).split("\n\n")
    assert len(blocks) > 3
    assert all(block.split("\n")[:2] == lines[:2] for block in blocks)
    assert [row for block in blocks for row in block.split("\n")[2:]] == lines[2:]
    assert end == "End | of | it.\n"


@pytest.mark.parametrize(
    ("before", "prefix"),
    [
        ("", "    "),  # code
        ("Words.\n\n    - code\n\n", " " * 6),
        ("- one\n\n", " " * 6),
        ("- one\n  - two\n\n  Back in one.\n\n", " " * 6),
        ("- one\n\nWords.\n\n", "    "),
        ("> ```\n", "> "),
        ("- one\n\n    ```\n", "    "),
        ("", ">     "),
    ],
)
def test_what_only_looks_like_a_table_stays_as_it_is(before: str, prefix: str) -> None:
    lines = ["| Name | Seats |", "|---|---|", *(f"| ship {number} | {number * 7} |" for number in range(60))]
    text = before + "\n".join(prefix + line for line in lines) + "\n"
    assert load(Path("a.md"), text.encode()).text == text


@pytest.mark.parametrize(("name", "kept"), [("a.md", False), ("a.txt", True), ("a.org", True), ("a.py", True)])
def test_tables_of_other_sources_stay_as_they_are(name: str, kept: bool) -> None:
    text = "| a | b |\n|---|---|\n" + "| one | two |\n" * 60
    assert (load(Path(name), text.encode()).text == text) is kept


@pytest.mark.parametrize(
    ("source", "metadata", "rest"),
    [
        ("---\ntitle: 'A: B'\ntags: [x]\nlist:\n  - y\n---\nText", {"title": "A: B", "tags": ["x"]}, "Text"),
        (
            "---\nyear: 20\nratio: -0.5\ndraft: false\nversion: 1.10\nid: 007\nquoted: '7'\nmixed: [1, a, true]\n---\n",
            {
                "year": 20,
                "ratio": -0.5,
                "draft": False,
                "version": "1.10",
                "id": "007",
                "quoted": "7",
                "mixed": [1, "a", True],
            },
            "",
        ),
        ('+++\ntitle = "A"\n+++\n\nText', {"title": "A"}, "\nText"),
        (
            "---\na.b: 1\nDate created: 2026-01-01\n作者: 王\n'quoted': x\n\"two words\": y\n---\n",
            {"a.b": 1, "Date created": "2026-01-01", "作者": "王", "quoted": "x", "two words": "y"},
            "",
        ),
        (
            '---\nyear: 2020 # why\nhash: C#\nat: /#top\nsaid: "\\"Go # on\\""  # so\nas: \'C # D\'\nwide: 5"\n---\n',
            {"year": 2020, "hash": "C#", "at": "/#top", "said": '"Go # on"', "as": "C # D", "wide": '5"'},
            "",
        ),
        ("---\nby: [\"Smith, John\", 'it''s # b', c]  # all\n---\n", {"by": ["Smith, John", "it's # b", "c"]}, ""),
        ("---\n\nIn between stands prose.\n\n---\nText", {}, "---\n\nIn between stands prose.\n\n---\nText"),
        ("---\nnever: closed\n", {}, "---\nnever: closed\n"),
        ("Text\n---\na: b\n---\n", {}, "Text\n---\na: b\n---\n"),
    ],
)
def test_front_matter(source: str, metadata: dict[str, object], rest: str) -> None:
    assert markdown.split_front_matter(source) == (metadata, rest)


def test_fields_below_the_title_of_rst_are_metadata() -> None:
    text = "=====\nTitle\n=====\n\n:Author: Ann\n:Date: 2026-03-01\n:Version: 2\n\nBody\n====\n\n:language: de\n"
    assert load(Path("a.rst"), text.encode()).metadata == {"author": "Ann", "date": "2026-03-01"}
    assert load(Path("a.rst"), b":Author: Ann\n:Date: $Date$\n\nText.\n").metadata == {"author": "Ann"}


def test_rst_sections_go_by_the_order_of_their_adornments() -> None:
    text = """\
.. _top:

=========
The *top*
=========

Preface.

``code`` and :class:`~a.b.Klass`
--------------------------------

====  ====
a     b
====  ====
1     2
====  ====

----

Deeper
~~~~~~

Code::

    Not a title
    -----------

A paragraph
that goes on
------------

See `this <https://example.org>`_
---------------------------------

>>> print("x")
--------------
"""
    document = load(Path("a.rst"), text.encode())
    assert outline(document) == [
        (1, "The top", "========="),
        (2, "code and Klass", "``code`` and :class:`~a.b.Klass`"),
        (3, "Deeper", "Deeper"),
        (2, "See this", "See `this <https://example.org>`_"),
    ]
    assert document.text == text


def test_rst_underlines_must_be_as_wide_as_the_title() -> None:
    assert not restructuredtext.find_headings("A longer title\n---\n")
    assert not restructuredtext.find_headings("日本\n---\n")
    assert restructuredtext.find_headings("日本\n----\n")
    assert restructuredtext.find_headings("docutils only warns\n----\n")


@pytest.mark.parametrize(
    ("name", "text", "title"),
    [
        ("a.txt", "First line\nSecond line.\n", "First line"),
        ("to_do.txt", "x" * 130 + "\n", "to_do"),
        ("a.txt", "42\n", "a"),
        ("speech.txt", "Good evening. I am glad to be here.\n\nMore.\n", "speech"),
        ("a.txt", "What is a footnote?\n\nA note.\n", "What is a footnote?"),
        ("a.md", "Words.\n\n## Only a part\n", "Only a part"),
        ("notes.md", "word " * 60 + "\n---\n\nMore words.\n", "notes"),
        ("a.md", "A title\n---\n\nWords.\n", "A title"),
        ("a.md", "# " + "word " * 60, ("word " * 40).strip() + " …"),
    ],
)
def test_titles(name: str, text: str, title: str) -> None:
    assert load(Path(name), text.encode()).title == title


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Größe, Äpfel und süße Mädchen, während Köche rührten.", "cp1252"),
        ("El niño pequeño comió mañana con la señora García.", "cp1252"),
        ("He said “hello” — it’s fine… and left.", "cp1252"),
        ("Zażółć gęślą jaźń, proszę państwa, to jest zadanie.", "cp1250"),
        ("Съешь же ещё этих мягких французских булок.", "cp1251"),
        ("Съешь же ещё этих мягких французских булок.", "koi8-r"),
        ("吾輩は猫である。名前はまだ無い。どこで生れたか。", "shift_jis"),
        ("中文文本的编码检测需要足够的内容才能准确识别。", "gb18030"),
        ("안녕하세요. 이것은 한국어 문장입니다.", "cp949"),
        ("Any text 日本 🦊", "utf-16"),
        ("Any text 日本 🦊", "utf-32"),
        ("Any text 日本 🦊", "utf-8-sig"),
    ],
)
def test_encodings(text: str, encoding: str) -> None:
    assert decode((text * 3).encode(encoding)) == text * 3


def test_a_declared_encoding_is_used_where_the_bytes_allow_it() -> None:
    japanese = "日本語の文章です"
    assert decode(japanese.encode("iso-2022-jp"), "iso-2022-jp") == japanese
    assert decode("müde".encode(), "latin-1") == "müde", "valid UTF-8 is UTF-8, whatever it says"
    assert decode(b"m\xfcde", "no-such-encoding") == "müde"


def test_characters_that_cannot_be_stored_or_seen_are_taken_out() -> None:
    assert clean("a\0b\x07c\u00add\ufeffe\ud800f") == "abcdef"
    assert clean("\x1b[1;31mred\x1b[0m \x1b]8;;https://example.org\x1b\\link\x1b]8;;\x07\x1b[2K") == "red link"
    assert clean("a\r\nb\rc\u2028d\x0ce") == "a\nb\nc\nd\ne"
    assert clean("e\u0301") == "é"


@given(st.binary(max_size=300), st.sampled_from(["a.md", "a.rst", "a.txt", "a.html", "a.xyz"]))
def test_any_bytes_are_read_or_refused(data: bytes, name: str) -> None:
    try:
        document = load(Path(name), data)
    except UnreadableFile:
        return
    assert document.text.strip()
    assert document.title
    assert "\0" not in document.text
    document.text.encode()
    starts = [heading.char_start for heading in document.headings]
    assert starts == sorted(set(starts))
    assert all(start == 0 or document.text[start - 1] == "\n" for start in starts)


@given(st.text(alphabet="#=-~`>.|:*_ \nab", max_size=80))
def test_markup_of_any_shape_has_headings_at_line_starts(text: str) -> None:
    for found in (markdown.find_headings(text), restructuredtext.find_headings(text)):
        assert all(heading.char_start == 0 or text[heading.char_start - 1] == "\n" for heading in found)
        assert all(heading.title for heading in found)


def test_a_byte_order_mark_alone_is_empty() -> None:
    with pytest.raises(EmptyFile):
        load(Path("a.txt"), codecs.BOM_UTF8 + b"\n")


def test_the_data_of_an_embedded_picture_is_no_text() -> None:
    data = b64encode(bytes(range(256)) * 40).decode()
    text = f"# Boats\n\n![A boat][image1]\n\nThey leave at nine.\n\n[image1]: <data:image/png;base64,{data}>\n"
    document = load(Path("boats.md"), text.encode())
    assert document.text == text.replace(data, "…")
    short = "The smallest is data:image/gif;base64,R0lGODlhAQABAAAAACw=\n"
    assert load(Path("gif.md"), short.encode()).text == short
