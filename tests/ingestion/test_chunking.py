"""Chunking: nothing is lost, nothing is too long, sections stay apart, offsets are exact."""

import io
import re
from itertools import chain, pairwise
from pathlib import Path
from random import Random
from time import perf_counter, process_time

import docx
import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.document import Chunk, Heading, ParsedDocument
from app.domain.index import chunker_id
from app.providers.tokenizer import count_tokens
from ingestion.chunking.boundaries import find_sentences
from ingestion.chunking.structure import chunk
from ingestion.loaders import markdown, restructuredtext
from ingestion.loaders.dispatch import load


def parsed(text: str, *headings: tuple[int, str], pages: tuple[int, ...] = ()) -> ParsedDocument:
    """A document whose headings are found in its text."""
    found = [Heading(level, title, text.index(f"{'#' * level} {title}\n")) for level, title in headings]
    return ParsedDocument(text, headings[0][1] if headings else "T", "text/plain", tuple(found), pages)


def cut(document: ParsedDocument, max_tokens: int = 40) -> list[Chunk]:
    return chunk(document, max_tokens=max_tokens, count_tokens=count_tokens)


PIECES = [
    *("word ", "A sentence. ", "See Fig. 3 for J. Doe. ", "日本語。", "🦊", "1.2", "longlonglong" * 9, "e\u0301"),
    *(
        "\n",
        "\n\n",
        "\n \n",
        "\t",
        "    indented\n",
        "# H\n",
        "\nTitle\n=====\n",
        "====  ====\n",
        ".. note::\n\n",
        "::\n\n",
    ),
    *("```\n", "~~~\ncode\n~~~\n", "- item\n", "1. item\n", "| a | b |\n", ".. _target:\n\n"),
]


@st.composite
def documents(draw: st.DrawFn) -> ParsedDocument:
    """Texts of every markup, and headings and pages that need not agree with them."""
    text = "".join(draw(st.lists(st.sampled_from(PIECES) | st.text(max_size=12), max_size=60)))
    found = draw(st.sampled_from([markdown.find_headings, restructuredtext.find_headings, None]))
    if found:
        headings = found(text)
    else:
        starts = sorted(draw(st.sets(st.integers(0, max(len(text) - 1, 0)), max_size=5)))
        headings = tuple(Heading(draw(st.integers(1, 4)), f"h{n}", start) for n, start in enumerate(starts))
    media_type = draw(st.sampled_from(["text/plain", "text/markdown", "text/x-rst", "application/pdf"]))
    return ParsedDocument(text, "T", media_type, headings)


@given(documents(), st.integers(8, 60))
@settings(max_examples=150, deadline=None)
def test_invariants(document: ParsedDocument, max_tokens: int) -> None:
    chunks = cut(document, max_tokens)
    text = document.text
    assert [c.ordinal for c in chunks] == list(range(len(chunks)))
    end = 0
    for c in chunks:
        assert c.text == text[c.char_start : c.char_end] == c.text.strip() != ""
        assert c.token_count == count_tokens(c.text)
        assert c.token_count <= max_tokens or len(c.text) == 1
        assert text[end : c.char_start].strip() == "", "nothing is left out, nothing overlaps"
        assert c.char_start >= end
        end = c.char_end
    assert text[end:].strip() == ""


def test_sections_stay_apart_and_know_their_headings() -> None:
    said = "This part says more than a few words, so that it stands alone, about the"
    text = f"# Guide\n\n{said} guide.\n\n## Setup\n\n{said} setup.\n\n### Linux\n\n{said} Linux.\n\n"
    text += f"## Use\n\n{said} use.\n"
    document = parsed(text, (1, "Guide"), (2, "Setup"), (3, "Linux"), (2, "Use"))
    assert [(c.heading_path, c.text.split()[-1]) for c in cut(document)] == [
        (("Guide",), "guide."),
        (("Guide", "Setup"), "setup."),
        (("Guide", "Setup", "Linux"), "Linux."),
        (("Guide", "Use"), "use."),
    ]


def test_a_heading_without_text_goes_with_what_it_heads() -> None:
    text = "Title\n=====\n\nPart\n----\n\nText of the part.\n"
    document = ParsedDocument(text, "Title", "text/plain", (Heading(1, "Title", 0), Heading(2, "Part", 13)))
    [only] = cut(document)
    assert only.heading_path == ("Title", "Part")
    assert only.text == text.strip()


def test_whole_paragraphs_are_kept_together_while_they_fit() -> None:
    paragraphs = [f"Paragraph {n} says something about the number {n}." for n in range(8)]
    chunks = cut(parsed("\n\n".join(paragraphs)), 40)
    assert len(chunks) < len(paragraphs)
    assert all(c.text.startswith("Paragraph") and c.text.endswith(".") for c in chunks)


def test_a_long_paragraph_is_cut_between_sentences() -> None:
    chunks = cut(parsed(" ".join(f"Sentence {n} is about as long as the others." for n in range(30))), 40)
    assert len(chunks) > 3
    assert all(c.text.startswith("Sentence") and c.text.endswith(".") for c in chunks)


def test_a_fenced_block_is_not_cut_at_its_blank_lines() -> None:
    code = "```python\na = 1\n\nb = 2\n\nc = 3\n```"
    chunks = cut(parsed(f"{'Before it stands a text. ' * 5}\n\n{code}\n\n{'After it comes more. ' * 5}"), 45)
    assert any(code in c.text for c in chunks)


def markdown_document(text: str) -> ParsedDocument:
    return markdown.MarkdownReader().parse("notes.md", text.encode())


def rst_document(text: str) -> ParsedDocument:
    return restructuredtext.RestructuredTextReader().parse("notes.rst", text.encode())


def test_small_siblings_share_a_chunk_that_is_their_parents() -> None:
    keys = "\n\n".join(f"### Key {n}\n\nDoes {n}." for n in range(4))
    large = "### Large\n\n" + "It takes a good many words to tell what this one does. " * 6
    chunks = cut(markdown_document(f"# Guide\n\n## Keys\n\n{keys}\n\n{large}\n"), 100)
    assert [c.heading_path for c in chunks] == [("Guide", "Keys"), ("Guide", "Keys", "Large")]
    assert chunks[0].text.count("###") == 4


def test_a_document_whose_title_is_no_heading_is_named_first() -> None:
    document = ParsedDocument("Preface.\n\nOne\n\nText.\n", "The Book", "application/pdf", (Heading(1, "One", 10),))
    paths = [c.heading_path for c in chunk(document, max_tokens=4, count_tokens=count_tokens)]
    assert paths[0] == ("The Book",)
    assert paths[-1] == ("The Book", "One")


def test_a_text_before_the_first_heading_goes_with_it_when_it_is_short() -> None:
    [only] = cut(markdown_document("A badge.\n\n# Guide\n\nIntro.\n"))
    assert only.heading_path == ("Guide",)


def test_a_target_belongs_to_the_section_that_it_names() -> None:
    bee = ".. _b-target:\n\n.. setting:: B\n\nBee\n===\n\nTwo.\n\n.. image:: x.png\n\n"
    chunks = cut(rst_document(f"Aye\n===\n\nOne.\n\n{bee}Cee\n===\n\nThree.\n"), 30)
    assert [c.text.splitlines()[0] for c in chunks] == ["Aye", ".. _b-target:", "Cee"]
    assert chunks[1].heading_path == ("Bee",)
    assert chunks[1].text.endswith(".. image:: x.png")


def test_a_heading_is_never_the_end_of_a_chunk() -> None:
    text = "".join(f"## Section {n}\n\n{'The words of a paragraph fill it up. ' * (n + 3)}\n\n" for n in range(12))
    for c in cut(markdown_document(f"# Guide\n\n{text}"), 50):
        assert not c.text.splitlines()[-1].startswith("#")


def test_what_looks_like_a_heading_goes_with_the_paragraph_below() -> None:
    filler = "Some text stands before it and is long enough to matter here. " * 2
    chunks = cut(
        ParsedDocument(f"{filler}\n\nAbstract\n\n{'We did this and that. ' * 8}\n", "T", "application/pdf"), 50
    )
    assert chunks[1].text.startswith("Abstract\n\nWe did")


def test_a_table_is_cut_between_rows() -> None:
    rows = "\n".join(f"| row {n} | a value. And more | 0.{n} |" for n in range(40))
    chunks = cut(markdown_document(f"# T\n\n| name | text | n |\n| --- | --- | --- |\n{rows}\n"), 60)
    assert len(chunks) > 5
    assert all(c.text.startswith(("# T", "| ")) and c.text.endswith("|") for c in chunks)


def long_table(name: str) -> bytes:
    """A table of three columns and 80 rows in the format of a name."""
    rows = [("Employee", "Department", "Salary")] + [
        (f"Person {n}", f"department {n % 9}", f"{n}000") for n in range(80)
    ]
    out = io.BytesIO()
    match Path(name).suffix:
        case ".csv":
            return "\n".join(map(",".join, rows)).encode()
        case ".md":
            lines = [f"| {' | '.join(row)} |" for row in rows]
            return "\n".join(
                ["# A heading\n\nIt says:\n", lines[0], "|---|---|---|", *lines[1:], "\nThe end."]
            ).encode()
        case ".html":
            lines = ["".join(f"<td>{cell}</td>" for cell in row) for row in rows]
            return f"<html><h1>A heading</h1><table><tr>{'</tr><tr>'.join(lines)}</tr></table></html>".encode()
        case ".docx":
            made = docx.Document()
            table = made.add_table(rows=len(rows), cols=3)
            for cell, text in zip(table._cells, chain(*rows), strict=True):  # all at once: row by row takes seconds
                cell.text = text
            made.save(out)
        case ".xlsx":
            book = openpyxl.Workbook()
            for row in rows:
                book.active.append(row)  # type: ignore[union-attr]
            book.save(out)
    return out.getvalue()


@pytest.mark.parametrize("name", ["a.csv", "a.md", "a.html", "a.docx", "a.xlsx"])
def test_every_chunk_of_a_table_has_its_header(name: str) -> None:
    document = load(Path(name), long_table(name))
    chunks = [c for c in cut(document, 200) if "| Person" in c.text]
    assert len(chunks) > 5
    assert all(c.text.index("| Employee | Department | Salary |") < c.text.index("| Person") for c in chunks)


def test_a_short_table_is_not_cut_to_fill_chunks_evenly() -> None:
    table = "| name | text | n |\n| --- | --- | --- |\n" + "\n".join(f"| row {n} | a value | 0.{n} |" for n in range(9))
    around = "It says a few words before the table and some after it. " * 3
    for c in cut(markdown_document(f"# T\n\n{around}\n\n{table}\n\n{around}\n"), 200):
        assert ("| row" in c.text) == (table in c.text)


def test_code_is_cut_between_lines_and_at_its_blank_lines_first() -> None:
    functions = "\n\n".join(f"    def f{n}(a, b):\n        c = a. b\n        return c. d" for n in range(12))
    chunks = cut(rst_document(f"Code::\n\n{functions}\n\nThat is all.\n"), 60)
    assert len(chunks) > 3
    assert all(c.text.startswith(("def", "Code")) for c in chunks)


def test_directives_of_code_are_cut_between_lines_and_those_of_prose_between_sentences() -> None:
    code = ".. code-block:: python\n\n" + "".join(f"    value{n} = 1. if n else 2. or None\n" for n in range(20))
    chunks = cut(rst_document(f"{code}\n.. note::\n\n    {'It is said. ' * 40}\n"), 50)
    assert all(c.text.startswith(("value", ".. code-block")) for c in chunks if "value" in c.text)
    assert all(c.text.endswith(("None", "said.")) for c in chunks)


def test_an_empty_document_has_no_chunks() -> None:
    assert cut(parsed("")) == cut(parsed(" \n")) == []


def test_a_list_is_cut_between_items() -> None:
    items = "\n".join(f"- Item {n} has. Two sentences\n  on two lines" for n in range(20))
    chunks = cut(markdown_document(f"The items:\n\n{items}\n"), 50)
    assert len(chunks) > 3
    assert chunks[0].text.startswith("The items:\n\n- Item 0")
    assert all(c.text.startswith("- Item") for c in chunks[1:])


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("See Fig. 3 by J. Smith et al. It works. Really!", ["See Fig. 3 by J. Smith et al. It works.", " Really!"]),
        ("He said “no.” Then he left (at 3 p.m. sharp).", ["He said “no.”", " Then he left (at 3 p.m. sharp)."]),
        ("Version 1.2 is out.\nGet it.", ["Version 1.2 is out.\n", "Get it."]),
        ("1. Wash. 2. Dry.", ["1. Wash.", " 2.", " Dry."]),
        ("今日は。明日は？はい。", ["今日は。", "明日は？", "はい。"]),
        ("So on … and on. e.g. this. Done", ["So on … and on. e.g. this.", " Done"]),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    cuts = [0, *find_sentences(text, 0, len(text)), len(text)]
    assert [text[a:b] for a, b in pairwise(cuts)] == sentences


def test_a_word_is_cut_only_when_it_is_too_long_for_a_chunk() -> None:
    text = " ".join(f"word{n}" for n in range(200)) + " " + "0123456789abcdef" * 60 + " end"
    chunks = cut(parsed(text), 32)
    assert "".join(c.text for c in chunks).replace(" ", "") == text.replace(" ", "")
    starts = {match.start() for match in re.finditer(r"\S+", text)}
    long_word = text.index("0123456789abcdef")
    assert all(c.char_start in starts for c in chunks if c.char_start < long_word)


@pytest.mark.parametrize(
    "text", ["." * 60_000, "x. " * 20_000, "a\n\n" * 15_000, "=\n" * 30_000, ">" * 60_000, "。" * 30_000]
)
def test_hostile_texts_take_no_longer_than_others(text: str) -> None:
    started = process_time()
    assert cut(parsed(text), 200)
    assert process_time() - started < 10


def test_pages_are_those_of_the_chunks_start() -> None:
    text = "One.\n\nTwo.\n\nThree."
    document = ParsedDocument(text, "T", "application/pdf", (), (0, 6, 12))
    assert [c.page for c in chunk(document, max_tokens=2, count_tokens=count_tokens)] == [1, 2, 3]
    assert cut(parsed(text))[0].page is None


def test_time_grows_with_the_text_alone() -> None:
    paragraph = "The quick brown fox jumps over the lazy dog. " * 12 + "\n\n"
    started = perf_counter()
    small = cut(parsed(paragraph * 100), 200)
    first = perf_counter() - started
    large = cut(parsed(paragraph * 1000), 200)
    assert len(large) == pytest.approx(10 * len(small), rel=0.05)
    assert perf_counter() - started - first < 40 * max(first, 0.05), (
        "ten times the text, far less than a hundred times the time"
    )


def test_a_long_sentence_leaves_no_single_word_behind() -> None:
    """Its words have more tokens together than one by one, so it is cut again, in the middle."""
    vocabulary = ["impairment", "of", "goodwill", "(income)", "expense,", "$189.3", "million;", "2010,", "other-net"]
    words = Random(1).choices(vocabulary, k=900)
    sizes = [piece.token_count for piece in cut(parsed(" ".join(words) + "."))]
    assert len(sizes) > 40
    assert min(sizes[:-1]) >= 15


def test_the_identity_names_the_size() -> None:
    assert re.fullmatch(r"structure-v\d+/200", chunker_id(200))
