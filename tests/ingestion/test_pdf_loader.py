"""PDF loader: paragraphs as a reader sees them, with pages and headings; what has no text to read is refused."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fpdf import FPDF
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader, PdfWriter
from pypdf.generic import (
    ArrayObject,
    BooleanObject,
    DictionaryObject,
    NameObject,
    NumberObject,
    TextStringObject,
)

from app.domain.document import ParsedDocument
from app.domain.errors import DamagedFile, EmptyFile, EncryptedFile
from ingestion.loaders.dispatch import load
from ingestion.loaders.pdf_headings import Entry, locate, numbered
from ingestion.loaders.pdf_layout import Layout, Line, lay_out

PROSE = "The river rises in the hills and runs through four valleys before it meets the sea at the old harbour. "


def blank() -> FPDF:
    made = FPDF()
    made.set_auto_page_break(auto=True, margin=20)
    made.set_font("Times", size=11)
    return made


def read(made: FPDF | bytes, name: str = "a.pdf") -> ParsedDocument:
    return load(Path(name), made if isinstance(made, bytes) else bytes(made.output()))


def rewritten(made: FPDF, change: Callable[[PdfWriter], object]) -> bytes:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(bytes(made.output()))))
    change(writer)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def test_lines_become_paragraphs_again() -> None:
    made = blank()
    made.add_page()
    for _ in range(2):
        made.multi_cell(80, 5, PROSE * 3, align="J")
        made.ln(6)
    assert read(made).text == f"{(PROSE * 3).strip()}\n\n{(PROSE * 3).strip()}\n"


def test_paragraphs_that_are_only_set_in_are_told_apart() -> None:
    made = blank()
    made.add_page()
    for _ in range(2):
        made.multi_cell(80, 5, "      " + PROSE * 3, align="L")
    assert read(made).text == f"{(PROSE * 3).strip()}\n\n{(PROSE * 3).strip()}\n"


def test_a_paragraph_goes_on_over_the_page_and_pages_are_known() -> None:
    made = blank()
    made.add_page()
    made.multi_cell(80, 5, "The dam was built by the")
    made.add_page()
    made.multi_cell(80, 5, "people of the valley.")
    made.add_page()
    made.multi_cell(80, 5, "Another page.")
    document = read(made)
    assert document.text == "The dam was built by the people of the valley.\n\nAnother page.\n"
    assert [document.text[start:].split()[0] for start in document.page_starts] == ["The", "people", "Another"]


def test_columns_of_tables_are_kept_apart_and_rows_on_lines() -> None:
    made = blank()
    made.add_page()
    for row in (
        ("Grain", "Yield", "Year of the trial"),
        ("Winter rye", "5.1", "2019"),
        ("Summer barley", "4.2", "2021"),
    ):
        for text in row:
            made.cell(50, 5, text)
        made.ln(5)
    rows = "Grain\tYield\tYear of the trial\nWinter rye\t5.1\t2019\nSummer barley\t4.2\t2021\n"
    assert read(made).text == rows


def test_running_heads_and_page_numbers_are_left_out() -> None:
    class Report(FPDF):
        def header(self) -> None:
            self.set_font("Times", size=9)
            self.cell(0, 5, "The river report")
            self.ln(12)

        def footer(self) -> None:
            self.set_y(-15)
            self.set_font("Times", size=9)
            self.cell(0, 5, str(self.page_no()))

    made = Report()
    for number in range(5):
        made.add_page()
        made.set_font("Times", size=11)
        made.multi_cell(80, 5, f"Chapter {'ABCDE'[number]}. {PROSE * 5}")
    text = read(made).text
    assert text.count("The river report") == 1
    assert not any(line.strip().isdigit() for line in text.split("\n"))
    assert text.count("Chapter") == 5


def test_the_outline_gives_headings_where_the_text_has_them() -> None:
    made = blank()
    made.add_page()
    for level, number, title in ((0, "1", "The hills"), (1, "1.1", "Springs and rills"), (0, "2", "The sea")):
        made.set_font("Times", "B", 11)
        made.start_section(title, level)
        made.multi_cell(0, 6, f"{number} {title}", new_x="LMARGIN", new_y="NEXT")
        made.set_font("Times", size=11)
        made.multi_cell(80, 5, PROSE * 2, new_x="LMARGIN", new_y="NEXT")
    made.start_section("Not in the text", 0)
    document = read(made)
    assert [(h.level, h.title) for h in document.headings] == [
        (1, "The hills"),
        (2, "Springs and rills"),
        (1, "The sea"),
    ]
    assert [document.text[h.char_start :].split("\n")[0] for h in document.headings] == [
        "1 The hills",
        "1.1 Springs and rills",
        "2 The sea",
    ]


def tagged(made: FPDF, pages: list[list[tuple[str, int]]]) -> bytes:
    """The document with a structure: of each page what its marked contents are, a heading within a part of its own."""

    def change(writer: PdfWriter) -> None:
        root = DictionaryObject({NameObject("/Type"): NameObject("/StructTreeRoot")})
        at_root, parents = writer._add_object(root), ArrayObject()
        elements = ArrayObject()
        for number, (page, kinds) in enumerate(zip(writer.pages, pages, strict=True)):
            page[NameObject("/StructParents")] = NumberObject(number)
            of_page = ArrayObject()
            for kind, place in kinds:
                span = DictionaryObject({NameObject("/S"): NameObject("/Span"), NameObject("/K"): NumberObject(place)})
                element = DictionaryObject({NameObject("/S"): NameObject(kind), NameObject("/P"): at_root})
                span[NameObject("/Pg")] = page.indirect_reference
                at_element = writer._add_object(element)
                span[NameObject("/P")] = at_element
                at_span = writer._add_object(span)
                element[NameObject("/K")] = ArrayObject([at_span])
                of_page.append(at_span)
                elements.append(at_element)
            parents += [NumberObject(number), writer._add_object(of_page)]
        root[NameObject("/K")] = elements
        root[NameObject("/RoleMap")] = DictionaryObject({NameObject("/Part1"): NameObject("/H1")})
        root[NameObject("/ParentTree")] = writer._add_object(DictionaryObject({NameObject("/Nums"): parents}))
        writer.root_object[NameObject("/StructTreeRoot")] = at_root
        writer.root_object[NameObject("/MarkInfo")] = DictionaryObject({NameObject("/Marked"): BooleanObject(True)})

    return rewritten(made, change)


def test_tags_give_headings_where_there_is_no_outline() -> None:
    made, pages = blank(), list[list[tuple[str, int]]]()
    for texts in (
        [("/Part1", "The hills"), ("/P", PROSE), ("/H2", "Springs and rills")],
        [("/P", PROSE), ("/H1", "The sea")],
    ):
        made.add_page()
        pages.append([])
        for place, (kind, text) in enumerate(texts):
            made._out(f"{kind} <</MCID {place}>> BDC")
            made.multi_cell(60 if kind == "/P" else 0, 6, text, new_x="LMARGIN", new_y="NEXT")
            made._out("EMC")
            made.ln(6)
            pages[-1].append((kind, place))
    assert read(made).headings == ()
    document = read(tagged(made, pages))
    assert [(h.level, h.title) for h in document.headings] == [
        (1, "The hills"),
        (2, "Springs and rills"),
        (1, "The sea"),
    ]
    assert document.text[document.headings[1].char_start :].startswith("Springs and rills\n")


@pytest.mark.parametrize("title", ["1.2 Results", "A1.2) Results", "IV. Results", "1. Results", "Results"])
def test_an_entry_is_found_whatever_its_number_looks_like(title: str) -> None:
    layout = lay_out([[line("Results", 700), line("They are good.", 600)]])
    assert [heading.title for heading in locate([Entry(1, title, 0)], layout)] == [title]


def test_a_long_number_is_no_work() -> None:
    assert locate([Entry(1, "Results", 0)], lay_out([[line("1" * 200, 700)]])) == ()


def test_numbered_headings_are_found_without_an_outline() -> None:
    made = blank()
    made.add_page()
    for title in ("1 Introduction", "2 Method", "2.1 Samples", "3. Results", "A Tables"):
        made.set_font("Times", "B", 14 if title.count(".") != 1 or title.startswith("3") else 12)
        made.multi_cell(0, 8, title, new_x="LMARGIN", new_y="NEXT")
        made.set_font("Times", size=11)
        made.multi_cell(80, 5, PROSE * 2, new_x="LMARGIN", new_y="NEXT")
        made.multi_cell(80, 5, "7 Apples are no heading", new_x="LMARGIN", new_y="NEXT")
    assert [(h.level, h.title) for h in read(made).headings] == [
        (1, "1 Introduction"),
        (1, "2 Method"),
        (2, "2.1 Samples"),
        (1, "3. Results"),
        (1, "A Tables"),
    ]


@pytest.mark.parametrize(
    ("given", "title"),
    [
        ("A study of rivers", "A study of rivers"),
        ("untitled", "The largest words"),
        ("Microsoft Word - x.doc", "The largest words"),
    ],
)
def test_titles(given: str, title: str) -> None:
    made = blank()
    made.set_title(given)
    made.add_page()
    made.multi_cell(80, 5, "Some small print above.", new_x="LMARGIN", new_y="NEXT")
    made.set_font("Times", "B", 20)
    made.multi_cell(0, 12, "The largest words", new_x="LMARGIN", new_y="NEXT")
    made.set_font("Times", size=11)
    made.multi_cell(80, 5, PROSE * 4)
    assert read(made).title == title


def test_author_and_day_are_metadata() -> None:
    made = blank()
    made.set_author("Ann Lee")
    made.set_creation_date(datetime(2026, 3, 1, 9, tzinfo=UTC))
    made.add_page()
    made.multi_cell(0, 6, PROSE)
    assert read(made).metadata == {"author": "Ann Lee", "date": "2026-03-01"}


def test_a_stamp_in_the_margin_does_not_interrupt_the_text() -> None:
    made = blank()
    made.add_page()
    made.multi_cell(80, 5, PROSE, new_x="LMARGIN", new_y="NEXT")
    with made.rotation(90, x=5, y=150):
        made.text(5, 150, "Stamped on the margin")
    made.multi_cell(80, 5, PROSE * 2)
    text = read(made).text
    assert text.startswith("Stamped on the margin\n")
    assert (PROSE * 3).strip() in text


def test_a_page_on_which_no_words_are_seen_is_refused() -> None:
    made = blank()
    made.add_page()
    made.rect(10, 10, 50, 50, style="F")
    with pytest.raises(EmptyFile, match="none was recognised"):
        read(made)


def test_a_password_is_asked_for_only_where_one_is_needed() -> None:
    made = blank()
    made.add_page()
    made.cell(0, 5, "For members.")
    locked = rewritten(made, lambda writer: writer.encrypt("open", "owner", algorithm="RC4-128"))
    with pytest.raises(EncryptedFile, match="password"):
        read(locked)
    restricted = rewritten(made, lambda writer: writer.encrypt("", "owner", algorithm="RC4-128"))
    assert read(restricted).text == "For members.\n"


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
def test_a_truncated_file_is_damaged_not_short(share: float) -> None:
    made = blank()
    for _ in range(3):
        made.add_page()
        made.multi_cell(80, 5, PROSE * 10)
    whole = bytes(made.output())
    with pytest.raises(DamagedFile, match="whole copy"):
        read(whole[: int(len(whole) * share)])


def test_a_broken_page_is_named() -> None:
    made = blank()
    made.add_page()
    made.cell(0, 5, "One")
    made.add_page()
    made.cell(0, 5, "Two")
    broken = bytes(made.output()).replace(b"/Kids [3 0 R\n5 0 R]", b"/Kids [3 0 R]      ")
    with pytest.raises(DamagedFile, match="Page 2"):
        read(broken)


def test_files_can_be_read_from_several_threads() -> None:
    made = blank()
    made.add_page()
    made.multi_cell(80, 5, PROSE * 10)
    data = bytes(made.output())
    with ThreadPoolExecutor(4) as pool:
        texts = {document.text for document in pool.map(read, [data] * 20)}
    assert len(texts) == 1


def line(
    text: str, top: float, left: float = 50, right: float = 250, hyphenated: bool = False, font: str = "R"
) -> Line:
    return Line(text, left, right, top - 10, top, hyphenated, font)


@pytest.mark.parametrize(
    ("before", "after", "joined"),
    [
        ("the represen", "tation of", "the representation of"),
        ("a fine", "tuned model", "a fine-tuned model"),  # as elsewhere in the document
        ("a state-of-the", "art model", "a state-of-the-art model"),
        ("called GPT", "3 by", "called GPT-3 by"),
        ("the Baum", "Welch algorithm", "the Baum-Welch algorithm"),
        ("at https://example.org/a", "b for more", "at https://example.org/a-b for more"),
    ],
)
def test_hyphens_at_line_ends(before: str, after: str, joined: str) -> None:
    layout = lay_out([[line("It was fine-tuned here and", 700), line(before, 688, hyphenated=True), line(after, 676)]])
    assert layout.text == f"It was fine-tuned here and {joined}"


def test_a_hyphen_stays_where_the_text_does_not_go_on() -> None:
    layout = lay_out(
        [[line("the end of a col", 100, hyphenated=True), line("Another column", 700, left=300, right=500)]]
    )
    assert layout.text == "the end of a col-\n\nAnother column"


def test_raised_marks_stay_with_their_line() -> None:
    lines = [line("Ann Smith∗", 700, right=100), line(", Bob Jones", 700, left=99, right=150), line("of York", 688)]
    assert lay_out([lines]).text == "Ann Smith∗, Bob Jones of York"


def test_addresses_and_scripts_without_spaces_are_joined_without_one() -> None:
    assert (
        lay_out([[line("see https://example.org/", 700), line("path for", 688)]]).text
        == "see https://example.org/path for"
    )
    assert lay_out([[line("日本の首都は", 700), line("東京です", 688)]]).text == "日本の首都は東京です"


@given(
    st.lists(
        st.lists(st.tuples(st.text("ab1. -•\t", min_size=1), st.floats(0, 700), st.floats(0, 500)), max_size=8),
        max_size=5,
    )
)
def test_any_layout_keeps_every_word_in_its_place(pages: list[list[tuple[str, float, float]]]) -> None:
    made = [
        [line(t.strip(), top, left, left + 40) for t, top, left in page if any(map(str.isalnum, t))] for page in pages
    ]
    layout = lay_out(made)
    assert len(layout.page_starts) == len(made)
    assert list(layout.page_starts) == sorted(layout.page_starts)
    for page in layout.lines:
        for offset, placed in page:
            assert layout.text[offset : offset + len(placed.text)] == placed.text
    assert numbered(Layout("", (), ())) == ()


@pytest.mark.parametrize(
    ("said", "metadata"),
    [("de-AT", {"language": "de-AT"}), ("en-US\0", {"language": "en-US"}), ("x" * 500, {}), ("", {}), (None, {})],
)
def test_the_language_of_the_catalog_is_declared(said: str | None, metadata: dict[str, str]) -> None:
    made = blank()
    made.add_page()
    made.multi_cell(80, 5, PROSE, align="L")

    def change(writer: PdfWriter) -> None:
        if said is not None:
            writer.root_object[NameObject("/Lang")] = TextStringObject(said)

    document = read(rewritten(made, change))
    assert {name: value for name, value in document.metadata.items() if name == "language"} == metadata
