"""Loaders of office files, tables, books, mail, notebooks, data and code; the files are made here."""

import io
import json
import zipfile
from copy import deepcopy
from datetime import date, datetime, time, timedelta
from email.message import EmailMessage
from pathlib import Path

import openpyxl
import pytest
import xlwt
from pptx import Presentation
from pptx.chart.data import CategoryChartData, XyChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.opc.package import Part
from pptx.opc.packuri import PackURI
from pptx.oxml import parse_xml
from pptx.util import Inches

from app.domain.document import ParsedDocument
from app.domain.errors import DamagedFile, FileTooLarge, UnreadableFile
from ingestion.loaders.dispatch import load, supported

NAMESPACES = (
    'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
    'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" '
    'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" xmlns:dc="http://purl.org/dc/elements/1.1/"'
)


def read(name: str, data: bytes | str) -> ParsedDocument:
    """The document, once its headings stand where they say."""
    document = load(Path(name), data.encode() if isinstance(data, str) else data)
    for heading in document.headings:
        assert heading.title in document.text[heading.char_start :].split("\n", 1)[0]
    return document


def packed(parts: dict[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in parts.items():
            package.writestr(name, content)
    return buffer.getvalue()


def workbook(rows: list[list[object]], title: str = "") -> bytes:
    book = openpyxl.Workbook()
    book.properties.title, book.properties.creator = title, "Ada"
    book.active.title = "Ferries"  # type: ignore[union-attr]
    for row in rows:
        book.active.append(row)  # type: ignore[union-attr]
    book.create_sheet("Empty")
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def test_xlsx() -> None:
    document = read(
        "a.xlsx", workbook([["Ship", "Seats", None], ["Ilse", 120.0, None], ["Anna|B", 7.5, None]], "Fleet")
    )
    assert document.text == "## Ferries\n\n| Ship | Seats |\n| --- | --- |\n| Ilse | 120 |\n| Anna\\|B | 7.5 |\n"
    assert (document.title, document.metadata["author"]) == ("Fleet", "Ada")


def test_cells_of_xls_are_written_as_they_are_shown() -> None:
    book, out = xlwt.Workbook(), io.BytesIO()
    sheet = book.add_sheet("Fares")
    for at, text in enumerate(("Port", "Share", "Fare", "Hour")):
        sheet.write(0, at, text)
    sheet.write_merge(1, 2, 0, 0, "Holm")
    rows = (
        [(0.256, "0.0%"), (1234.5, '#,##0.00 "€"'), (time(9, 30), "hh:mm")],
        [(7, "General"), (7.5, "0"), (2, "[h]:mm")],
    )
    for row, cells in enumerate(rows, start=1):
        for column, (value, code) in enumerate(cells, start=1):
            sheet.write(row, column, value, xlwt.easyxf(num_format_str=code))
    book.save(out)
    assert read("a.xls", out.getvalue()).text == (
        "## Fares\n\n| Port | Share | Fare | Hour |\n| --- | --- | --- | --- |\n"
        "| Holm | 25.6% | 1,234.50 € | 09:30:00 |\n| Holm | 7 | 8 | 48:00 |\n"
    )


TITLED = "Fares of 2026\n\n| Ship | Seats | Fare |\n| --- | --- | --- |\n| Ilse | 120 | 4 |\n"


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([["Fares of 2026"], [None], ["Ship", "Seats", "Fare"], ["Ilse", 120, 4]], TITLED),
        ([["Fares of 2026"], ["Ship", "Seats", "Fare"], ["Ilse", 120, 4]], TITLED),
        ([["Fares"], [None], ["Ship", "Fare"], ["Ilse", 4]], "Fares\n\n| Ship | Fare |\n| --- | --- |\n| Ilse | 4 |\n"),
        ([["Fares"], ["Ship", "Fare"], ["Ilse", 4]], "| Fares |  |\n| --- | --- |\n| Ship | Fare |\n| Ilse | 4 |\n"),
        ([[None, "Fare"], [0, 4]], "|  | Fare |\n| --- | --- |\n| 0 | 4 |\n"),
        ([["Ship"], [None], ["Ilse"]], "| Ship |\n| --- |\n| Ilse |\n"),
    ],
)
def test_titles_above_a_table_are_not_its_header(rows: list[list[object]], text: str) -> None:
    assert read("a.xlsx", workbook(rows)).text == f"## Ferries\n\n{text}"


def test_titles_above_tables_of_other_files() -> None:
    assert read("a.csv", "Fares of 2026,,\n\nShip,Seats,Fare\nIlse,120,4\n").text == TITLED
    page = "<tr><th colspan=3>Fares of 2026<tr><th>Ship<th>Seats<th>Fare<tr><td>Ilse<td>120<td>4"
    assert read("a.html", f"<table>{page}</table>").text == TITLED


def test_the_separator_that_a_csv_file_declares_is_no_row() -> None:
    assert (
        read("a.csv", "sep=;\r\nShip;Fare\r\nIlse;4,5\r\n").text == "| Ship | Fare |\n| --- | --- |\n| Ilse | 4,5 |\n"
    )


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        (0.256, "0.0%", "25.6%"),
        (8, "0\\%", "8%"),
        (8, '0"%"', "8%"),
        (19, '0.00" %"', "19.00 %"),
        (2.5, "0", "3"),
        (0.125, "0%", "13%"),
        (0.285, "0%", "29%"),
        (1.005, "0.00", "1.01"),
        (-0.4, "0", "0"),
        (-2.5, "0", "-3"),
        (0.256, "0%;[Red]-0%", "26%"),
        (-0.5, "0.##%", "-50%"),
        (1234.5, '#,##0.00 "€"', "1,234.50 €"),
        (1234.5, "[$$-409]#,##0.00_);[Red]([$$-409]#,##0.00)", "$1,234.50"),
        (-3, r"_-* #,##0.00\ [$€-407]_-;-* #,##0.00\ [$€-407]_-", "-3.00 €"),
        (7, "00000", "00007"),
        (7.5, "000.0", "007.5"),
        (1234.5678, "General", "1234.5678"),
        (0.1 + 0.2, "General", "0.3"),
        (1500, "[>999]0.0,K;0", "1500"),
        (1500, '0.0,"k"', "1500"),
        (1500, "0.00E+00", "1500"),
        (True, "0%", "True"),
        (timedelta(hours=30), "[h]:mm", "30:00"),
        (timedelta(minutes=-90, seconds=-5), "[h]:mm:ss", "-1:30:05"),
        (datetime(2026, 3, 1), "DD.MM.YYYY", "2026-03-01"),
    ],
)
def test_cells_of_xlsx_are_written_as_they_are_shown(value: object, code: str, text: str) -> None:
    book, out = openpyxl.Workbook(), io.BytesIO()
    cell = book.active["A2"]  # type: ignore[index]
    book.active["A1"], cell.value, cell.number_format = "Said", value, code  # type: ignore[index]
    book.save(out)
    assert read("a.xlsx", out.getvalue()).text.endswith(f"| {text} |\n")


MERGED = (
    "| Port | Day | Hour |\n| --- | --- | --- |\n| Holm | Monday |  |\n| Holm | Tuesday | 9 |\n| Sund | Friday | 8 |\n"
)


def test_merged_cells_of_xlsx_say_it_in_each_row_and_once_in_each() -> None:
    rows = [["Port", "Day", "Hour"], ["Holm", "Monday", None], [None, "Tuesday", 9], [None] * 3, ["Sund", "Friday", 8]]
    book, out = openpyxl.Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)  # type: ignore[union-attr]
    for place in ("A2:A4", "B2:C2", "E1:F1048576", "XFD1:XFD9"):
        book.active.merged_cells.add(place)  # type: ignore[union-attr]
    book.save(out)
    assert read("a.xlsx", out.getvalue()).text == f"## Sheet\n\n{MERGED}"


@pytest.mark.parametrize(("kind", "suffix", "before"), [("text", "odt", ""), ("spreadsheet", "ods", "## Fleet\n\n")])
def test_merged_cells_of_open_document_say_it_in_each_row_and_once_in_each(kind: str, suffix: str, before: str) -> None:
    def row(*cells: str) -> str:
        return f"<table:table-row>{''.join(cells)}</table:table-row>"

    def cell(text: str, spanned: str = "") -> str:
        return f"<table:table-cell {spanned}><text:p>{text}</text:p></table:table-cell>"

    covered = "<table:covered-table-cell/>"
    across, down = 'table:number-columns-spanned="2"', 'table:number-rows-spanned="3"'
    table = "".join(
        [
            row(cell("Port"), cell("Day"), cell("Hour")),
            row(cell("Holm", down), cell("Monday", across), covered),
            row(covered, cell("Tuesday"), cell("9")),
            row(covered, '<table:table-cell table:number-columns-repeated="2"/>'),
            row(cell("Sund", 'table:number-rows-spanned="x"'), cell("Friday"), cell("8")),
        ]
    )
    content = (
        f"<office:document-content {NAMESPACES}><office:body><office:{kind}><table:table table:name='Fleet'>{table}"
        f"</table:table></office:{kind}></office:body></office:document-content>"
    )
    parts = {"mimetype": f"application/vnd.oasis.opendocument.{kind}", "content.xml": content}
    assert read(f"a.{suffix}", packed(parts)).text == before + MERGED


def test_a_long_table_has_its_header_on_every_piece() -> None:
    rows = "\n".join(f"ship {number};{number * 7}" for number in range(200))
    document = read("ships.csv", f"Name;Seats\n{rows}\n")
    pieces = document.text.strip().split("\n\n")
    assert len(pieces) > 3
    assert all(piece.startswith("| Name | Seats |\n| --- | --- |\n") for piece in pieces)
    assert sum(piece.count("\n") - 1 for piece in pieces) == 200
    assert document.title == "ships"


def test_quotes_within_quotes_are_read_wherever_the_first_of_them_stands() -> None:
    rows = "".join(f'n{number},"plain text, number {number}"\n' for number in range(1500))
    document = read("late.csv", f'name,said\n{rows}late,"She said ""no, thanks"" and left"\nlast,end\n')
    assert document.text.endswith('| late | She said "no, thanks" and left |\n| last | end |\n')
    assert "| Smith, John |" in read("single.csv", "id,name\n1,'Smith, John'\n2,'Doe, Jane'\n").text
    assert "| y | 2 |" in read("unclosed.csv", 'a,b\nx, "unclosed\ny,2\nz,3\n').text
    assert read("unclosed.csv", 'a,b\nx,"unclosed\ny,2\nz,"Smith, John"\n').text.splitlines()[2:] == [
        *('| x | "unclosed |', "| y | 2 |", "| z | Smith, John |"),
    ]
    last = 'a,b\nv, "Smith, John"\nw,"two\nlines"\nx, "unclosed\ny,"""2"" or 3"\nz,"end\n'
    assert read("unclosed.csv", last).text.splitlines()[2:] == [
        *("| v | Smith, John |", "| w | two lines |", '| x | "unclosed |', '| y | "2" or 3 |', '| z | "end |'),
    ]
    assert "| x | Mama Smith |" in read("within.csv", 'a,b\nx,"Mama" Smith\ny,2\n').text
    assert '| a | "b", c |' in read("spaces.csv", 'x, y\n1, 2\na, """b"", c"\n').text


def test_a_long_row_is_written_as_lines_that_are_named() -> None:
    answer = "Press the button | and wait. " * 25
    document = read("faq.csv", f'question,answer\nWhy?,Because\nHow?,"{answer}"\nWhen?,Now\n')
    first, long, last = document.text.strip().split("\n\n")
    assert first == "| question | answer |\n| --- | --- |\n| Why? | Because |"
    assert long == f"question: How?\nanswer: {answer.strip()}"
    assert last == "| question | answer |\n| --- | --- |\n| When? | Now |"


def test_a_wide_table_is_written_row_by_row() -> None:
    header = "\t".join(f"a long name of column {number}" for number in range(20))
    document = read("wide.tsv", f"{header}\n" + "\t".join(str(number) for number in range(20)))
    assert "a long name of column 3: 3\na long name of column 4: 4" in document.text
    assert "|" not in document.text


def test_pptx() -> None:
    deck = Presentation()
    deck.core_properties.title = "Tides"
    slide = deck.slides.add_slide(deck.slide_layouts[1])
    slide.shapes.title.text = "High water"  # type: ignore[union-attr]
    slide.placeholders[1].text_frame.text = "Twice a day"  # type: ignore[attr-defined]
    slide.placeholders[1].text_frame.add_paragraph().text = "Later each day"  # type: ignore[attr-defined]
    slide.notes_slide.notes_text_frame.text = "Mention the moon."  # type: ignore[union-attr]
    second = deck.slides.add_slide(deck.slide_layouts[6])
    table = second.shapes.add_table(2, 2, Inches(1), Inches(1), Inches(4), Inches(1)).table
    for at, text in enumerate(("Day", "Hour", "Monday", "9")):
        table.cell(at // 2, at % 2).text = text
    buffer = io.BytesIO()
    deck.save(buffer)
    document = read("a.pptx", buffer.getvalue())
    first, second_text = document.text[: document.page_starts[1]], document.text[document.page_starts[1] :]
    assert first == "## High water\n\n- Twice a day\n- Later each day\n\nNotes: Mention the moon.\n\n"
    assert second_text == "## Slide 2\n\n| Day | Hour |\n| --- | --- |\n| Monday | 9 |\n"
    assert document.title == "Tides"


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [
        ("ppsx", "openxmlformats-officedocument.presentationml.slideshow.main"),
        ("potx", "openxmlformats-officedocument.presentationml.template.main"),
        ("pptm", "ms-powerpoint.presentation.macroEnabled.main"),
    ],
)
def test_shows_templates_and_decks_with_macros(suffix: str, kind: str) -> None:
    deck = Presentation()
    deck.slides.add_slide(deck.slide_layouts[6]).shapes.add_textbox(0, 0, 9, 9).text_frame.text = "High water"
    with zipfile.ZipFile(io.BytesIO(saved_deck(deck))) as package:
        parts = {name: package.read(name) for name in package.namelist()}
    types = "[Content_Types].xml"
    parts[types] = parts[types].replace(
        b"openxmlformats-officedocument.presentationml.presentation.main", kind.encode()
    )
    assert kind.encode() in parts[types]
    assert supported(Path(f"a.{suffix}"))
    assert read(f"a.{suffix}", packed({**parts})).text == "## Slide 1\n\nHigh water\n"


def test_numbered_lines_of_slides() -> None:
    deck = Presentation()
    frame = deck.slides.add_slide(deck.slide_layouts[6]).shapes.add_textbox(0, 0, 9, 9).text_frame
    lines = [("Open.", 0, "arabicPeriod", ""), ("Left.", 1, "alphaUcParenR", ""), ("Right.", 1, "alphaUcParenR", "")]
    lines += [
        ("", 0, "", ""),
        ("Row.", 0, "arabicPeriod", ""),
        ("Aside.", 0, "", ""),
        ("On.", 0, "romanLcParenBoth", "4"),
    ]
    for at, (text, depth, kind, start) in enumerate(lines):
        paragraph = frame.paragraphs[0] if at == 0 else frame.add_paragraph()
        paragraph.text, paragraph.level = text, depth
        if kind:
            number = f' startAt="{start}"' if start else ""
            namespace = "http://schemas.openxmlformats.org/drawingml/2006/main"
            paragraph._p.get_or_add_pPr().append(
                parse_xml(f'<a:buAutoNum xmlns:a="{namespace}" type="{kind}"{number}/>')
            )
    assert read("a.pptx", saved_deck(deck)).text == (
        "## Slide 1\n\n1. Open.\n  A) Left.\n  B) Right.\n2. Row.\n- Aside.\n(iv) On.\n"
    )


def saved_deck(deck: object) -> bytes:
    out = io.BytesIO()
    deck.save(out)  # type: ignore[attr-defined]
    return out.getvalue()


def test_a_cell_of_a_slide_that_spans_rows_stands_in_each() -> None:
    presentation = Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[6])
    table = slide.shapes.add_table(3, 2, 0, 0, Inches(4), Inches(2)).table
    table.cell(1, 0).merge(table.cell(2, 0))
    for row, column, text in ((0, 0, "Port"), (0, 1, "Ferry"), (1, 0, "Holm"), (1, 1, "Ilse"), (2, 1, "Anna")):
        table.cell(row, column).text = text
    assert "| Holm | Ilse |\n| Holm | Anna |" in read("a.pptx", saved_deck(presentation)).text


def test_the_numbers_of_charts_are_tables() -> None:
    deck, data, hours = Presentation(), CategoryChartData(), CategoryChartData()
    data.categories = [date(2026, 3, 1), date(2026, 3, 2)]
    data.add_series("Ilse", (0.5, None), number_format="0%")
    data.add_series("Anna", (0.25, 1), number_format="0%")
    hours.categories = ["low", "high"]
    hours.add_series("", (9.5, 1200))
    points = XyChartData()
    points.add_series("Points").add_data_point(1, 2)
    kinds = [(XL_CHART_TYPE.LINE, data), (XL_CHART_TYPE.PIE, hours), (XL_CHART_TYPE.XY_SCATTER, points)]
    slide = deck.slides.add_slide(deck.slide_layouts[6])
    for at, (kind, numbers) in enumerate(kinds):
        frame = slide.shapes.add_chart(kind, Inches(1), Inches(at), Inches(4), Inches(1), numbers)
        frame.chart.has_title = at == 0
        if at == 0:
            frame.chart.chart_title.text_frame.text = "Seats taken"
    assert read("a.pptx", saved_deck(deck)).text == (
        "## Slide 1\n\nSeats taken\n\n|  | Ilse | Anna |\n| --- | --- | --- |\n| 2026-03-01 | 50% | 25% |\n"
        "| 2026-03-02 |  | 100% |\n\n|  | Series 1 |\n| --- | --- |\n| low | 9.5 |\n| high | 1200 |\n"
    )


def test_the_texts_of_diagrams_are_a_list() -> None:
    deck = Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[6])
    drawing, diagram = (f"http://schemas.openxmlformats.org/drawingml/2006/{name}" for name in ("main", "diagram"))

    def point(name: str, text: str, kind: str = "node") -> str:
        said = f"<d:t><a:p><a:r><a:t>{text}</a:t></a:r></a:p></d:t>" if text else ""
        return f'<d:pt modelId="{name}" type="{kind}">{said}</d:pt>'

    ways = [
        ("0", "2", 1),
        ("0", "1", 0),
        ("1", "3", 0),
        ("3", "0", 0),
    ]  # the last is a way back, which no program writes
    points = (
        point("0", "", "doc") + point("1", "Book") + point("2", "Board") + point("3", "Pay") + point("4", "", "pres")
    )
    joined = "".join(f'<d:cxn srcId="{one}" destId="{two}" srcOrd="{order}"/>' for one, two, order in ways)
    model = f'<d:dataModel xmlns:d="{diagram}" xmlns:a="{drawing}"><d:ptLst>{points}</d:ptLst>{joined}</d:dataModel>'
    part = Part(PackURI("/ppt/diagrams/data1.xml"), "application/xml", slide.part.package, model.encode())
    frame = slide.shapes.add_table(1, 1, 0, 0, 9, 9)._element
    data, name = frame.graphic.graphicData, slide.part.relate_to(part, "urn:data")
    data.remove(data[0])
    data.set("uri", diagram)
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    data.append(parse_xml(f'<d:relIds xmlns:d="{diagram}" xmlns:r="{office}" r:dm="{name}" r:lo="none"/>'))
    assert read("a.pptx", saved_deck(deck)).text == "## Slide 1\n\n- Book\n  - Pay\n- Board\n"


def test_shapes_that_have_alternatives_are_read_with_their_equations() -> None:
    deck = Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[6])
    for words in ("The area is ", "Last."):
        slide.shapes.add_textbox(0, 0, 9, 9).text_frame.text = words
    box = slide.shapes[0]._element
    box.txBody.p_lst[0].append(
        parse_xml(
            '<a14:m xmlns:a14="http://schemas.microsoft.com/office/drawing/2010/main" '
            'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math">'
            "<m:oMath><m:r><m:t>πr</m:t></m:r></m:oMath></a14:m>"
        )
    )
    space = "http://schemas.openxmlformats.org/markup-compatibility/2006"
    alternatives = parse_xml(
        f'<mc:AlternateContent xmlns:mc="{space}"><mc:Choice Requires="a14"/><mc:Fallback/></mc:AlternateContent>'
    )
    box.addnext(alternatives)
    alternatives[1].append(deepcopy(box))
    alternatives[0].append(box)
    assert read("a.pptx", saved_deck(deck)).text == "## Slide 1\n\nThe area is πr\n\nLast.\n"


def test_odt() -> None:
    content = f"""<office:document-content {NAMESPACES}><office:body><office:text>
        <text:h text:outline-level="1">Tides</text:h>
        <text:p>High<text:s text:c="2"/>water<text:note><text:note-body><text:p>Or flood.</text:p></text:note-body>
        </text:note>.</text:p>
        <text:list><text:list-item><text:p>one</text:p><text:list><text:list-item><text:p>two</text:p></text:list-item>
        </text:list></text:list-item></text:list>
        <table:table><table:table-row><table:table-cell><text:p>Day</text:p></table:table-cell></table:table-row>
        <table:table-row><table:table-cell><text:p>Monday</text:p></table:table-cell></table:table-row></table:table>
        </office:text></office:body></office:document-content>"""
    about = "<dc:creator>Ada</dc:creator><dc:language>en</dc:language>"
    meta = f"<office:document-meta {NAMESPACES}>{about}</office:document-meta>"
    parts = {"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": content, "meta.xml": meta}
    document = read("a.odt", packed(parts))
    assert document.text == ("# Tides\n\nHigh  water (Or flood.).\n\n- one\n  - two\n\n| Day |\n| --- |\n| Monday |\n")
    assert document.metadata == {"author": "Ada", "language": "en"}


def test_numbers_of_open_document_are_those_that_are_shown() -> None:
    def level(at: int, kind: str, more: str = "", name: str = "list-level-style-number") -> str:
        return f'<text:{name} text:level="{at}" style:num-format="{kind}" {more}/>'

    def items(*texts: str, more: str = "") -> str:
        said = "".join(f"<text:list-item>{text}</text:list-item>" for text in texts)
        return f"<text:list {more}>{said}</text:list>"

    def heading(text: str, at: int, more: str = "") -> str:
        return f'<text:h text:outline-level="{at}" {more}>{text}</text:h>'

    two = 'text:display-levels="2"'
    outline = level(1, "1", name="outline-level-style") + level(2, "A", two, name="outline-level-style")
    steps = level(1, "1", 'style:num-suffix="."') + level(2, "i", 'style:num-prefix="(" style:num-suffix=")"')
    bullets = '<text:list-level-style-bullet text:level="3"/>'
    spaces = f'{NAMESPACES} xmlns:style="urn:oasis:names:tc:opendocument:xmlns:style:1.0"'
    styles = (
        f"<office:document-styles {spaces}><text:outline-style>{outline}</text:outline-style></office:document-styles>"
    )
    deep = items("<text:p>dot</text:p>")
    body = (
        heading("Tides", 1),
        heading("Low", 2, 'text:start-value="3"'),
        heading("Preface", 1, 'text:is-list-header="true"'),
        items("<text:p>Open.</text:p><text:p>Wait.</text:p>", "<text:p>Row.</text:p>", more='text:style-name="L"'),
        "<text:p>Between.</text:p>",
        items(
            f"<text:p>Land.</text:p>{items('<text:p>Tie.</text:p>', deep)}",
            more='text:style-name="L" text:continue-numbering="true"',
        ),
        items("<text:p>Anew.</text:p>", more='text:style-name="L"'),
    )
    content = (
        f'<office:document-content {spaces}><office:automatic-styles><text:list-style style:name="L">{steps}{bullets}'
        f"</text:list-style></office:automatic-styles><office:body><office:text>{''.join(body)}</office:text></office:body>"
        "</office:document-content>"
    )
    parts = {"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": content, "styles.xml": styles}
    assert read("a.odt", packed(parts)).text == (
        "# 1 Tides\n\n## 1.C Low\n\n# Preface\n\n1. Open.\n  Wait.\n2. Row.\n\nBetween.\n\n"
        "3. Land.\n  (i) Tie.\n    - dot\n\n1. Anew.\n"
    )


def test_epub() -> None:
    chapter = "<html><body><h1>{}</h1><p>{}</p></body></html>"
    document = read(
        "a.epub",
        packed(
            {
                "mimetype": "application/epub+zip",
                "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
                '<rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></container>',
                "OEBPS/book.opf": '<package xmlns="http://www.idpf.org/2007/opf" '
                'xmlns:dc="http://purl.org/dc/elements/1.1/">'
                "<metadata><dc:title>The sea</dc:title><dc:creator>Ada</dc:creator><dc:creator>Bo</dc:creator>"
                "</metadata><manifest>"
                '<item id="b" href="two.xhtml"/><item id="a" href="one%20.xhtml"/>'
                '<item id="n" href="nav.xhtml" properties="nav"/>'
                '</manifest><spine><itemref idref="n"/><itemref idref="a"/><itemref idref="b"/></spine></package>',
                "OEBPS/one .xhtml": chapter.format("First", "It began."),
                "OEBPS/two.xhtml": "<html xmlns:epub='http://www.idpf.org/2007/ops'><body><article><header><h1>Last</h1>"
                "<div>By Bo.</div></header><p>It ended.</p></article><div class='sidebar'>A box.</div>"
                "<aside epub:type='footnote'>1. A note.</aside></body></html>",
                "OEBPS/nav.xhtml": chapter.format("Contents", "First, last"),
            }
        ),
    )
    assert document.text == "# First\n\nIt began.\n\n# Last\n\nBy Bo.\n\nIt ended.\n\nA box.\n\n1. A note.\n"
    assert [heading.title for heading in document.headings] == ["First", "Last"]
    assert document.title == "The sea"
    assert document.metadata == {"author": "Ada, Bo"}


NCX = """<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/"><navMap>
    <navPoint><navLabel><text>Part 1</text></navLabel><content src="one.xhtml"/>
        <navPoint><navLabel><text>Low tide</text></navLabel><content src="one.xhtml#low"/></navPoint></navPoint>
    <navPoint><navLabel><text>Part 2</text></navLabel><content src="two.xhtml"/></navPoint>
    <navPoint><navLabel><text>Gone</text></navLabel><content src="one.xhtml#gone"/></navPoint></navMap></ncx>"""
NAV = """<html xmlns:epub="http://www.idpf.org/2007/ops"><body><nav epub:type="toc"><ol>
    <li><a href="one.xhtml">Part 1</a><ol><li><a href="one.xhtml#low">Low tide</a></li></ol></li>
    <li><a href="two.xhtml">Part 2</a></li></ol></nav>
    <nav epub:type="landmarks"><a href="two.xhtml">x</a></nav></body></html>"""


@pytest.mark.parametrize(
    ("item", "content"),
    [
        ('<item id="n" href="toc.xml" media-type="application/x-dtbncx+xml"/>', NCX),
        ('<item id="n" href="toc.xml" properties="nav"/>', NAV),
    ],
)
def test_the_contents_of_a_book_make_headings_where_there_are_none(item: str, content: str) -> None:
    chapters = '<item id="a" href="one.xhtml"/><item id="b" href="two.xhtml"/>'
    spine = '<spine><itemref idref="a"/><itemref idref="b"/></spine>'
    book = packed(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
            '<rootfiles><rootfile full-path="book.opf"/></rootfiles></container>',
            "book.opf": f'<package xmlns="http://www.idpf.org/2007/opf"><manifest>{chapters}{item}</manifest>{spine}</package>',
            "one.xhtml": "<html><body><p>PART  1</p>It <p>began.</p><div id='low'><p>Grün.</p></div></body></html>",
            "two.xhtml": "<html><body><h3>The end</h3><p>It ended.</p></body></html>",
            "toc.xml": content,
        }
    )
    document = read("a.epub", book)
    assert document.text == "# Part 1\n\nIt\n\nbegan.\n\n## Low tide\n\nGrün.\n\n### The end\n\nIt ended.\n"
    assert document.title == "Part 1"


def test_items_tables_and_footnotes_of_rtf() -> None:
    note = r"{\footnote\ftnalt\pard With {\b two \{oars\}}.}"
    items = rf"{{\listtext\pard\plain 1.\tab}}Open.\par{{\pntext 2.\tab}}Row{note} on.\par"
    rows = "".join(rf"\trowd\cellx1\cellx2 {one}\cell {two}\cell\row" for one, two in (("Port", "Hour"), ("Holm", "9")))
    document = read("a.rtf", rf"{{\rtf1\ansi {items}{rows}\pard End}}")
    assert document.text == (
        "1. Open.\n\n2. Row (With two {oars}.) on.\n\n| Port | Hour |\n| --- | --- |\n| Holm | 9 |\n\nEnd\n"
    )


def test_rtf() -> None:
    document = read("a.rtf", r"{\rtf1\ansi{\fonttbl\f0 Arial;}\f0 High water\par comes {\b twice} a day.\par}")
    assert document.text == "High water\n\ncomes twice a day.\n"
    info = r"{\info{\title Gr\'fc\'dfe}{\author Ann \u321?}{\creatim\yr2026\mo3\dy1\hr9}{\doccomm x}}"
    document = read("a.rtf", rf"{{\rtf1\ansi\ansicpg1252{info}High water\par}}")
    assert (document.title, document.text) == ("Grüße", "High water\n")
    assert document.metadata == {"author": "Ann Ł", "date": "2026-03-01"}


def test_notebook() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Tides\n", "\n", "They come and go."]},
        {"cell_type": "code", "source": "print(1)", "outputs": [{"text": ["1\n"]}, {"data": {"image/png": "…"}}]},
    ]
    about = {"kernelspec": {"language": "python"}, "authors": [{"name": "Ann"}, {"name": "Bo"}]}
    notebook = {"nbformat": 4, "metadata": about, "cells": cells}
    document = read("a.ipynb", json.dumps(notebook))
    assert document.text == "# Tides\n\nThey come and go.\n\n```python\nprint(1)\n```\n\n```\n1\n```\n"
    assert (document.title, document.metadata) == ("Tides", {"author": "Ann, Bo"})


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        ({"output_type": "stream", "text": ["10%|#\r", "50%|###\r", "100%|####\r\n", "done\n"]}, "100%|####\ndone"),
        ({"output_type": "stream", "text": "\x1b[32mINFO\x1b[0m ready\n"}, "INFO ready"),
        ({"output_type": "display_data", "data": {"text/plain": "<Figure size 640x480 with 1 Axes>"}}, ""),
        ({"output_type": "execute_result", "data": {"text/plain": ["[<matplotlib.lines.Line2D at 0x7f>]"]}}, ""),
        ({"output_type": "execute_result", "data": {"text/plain": ["   a\n", "0  1"]}}, "   a\n0  1"),
    ],
    ids=["progress", "colours", "figure", "object", "table"],
)
def test_of_what_a_notebook_printed_is_read_what_it_shows(output: dict[str, object], shown: str) -> None:
    notebook = {"nbformat": 4, "cells": [{"cell_type": "code", "source": "run()", "outputs": [output]}]}
    text = read("a.ipynb", json.dumps(notebook)).text
    assert text == "```python\nrun()\n```\n" + (f"\n```\n{shown}\n```\n" if shown else "")


def test_json() -> None:
    records = [{"title": "Ilse", "text": "A ferry.", "seats": 120, "ports": ["Holm", "Sund"]}, {"name": "Anna"}]
    document = read("ships.json", json.dumps(records))
    assert document.text == "## Ilse\n\nA ferry.\n\nseats: 120\nports:\n  - Holm\n  - Sund\n\n## Anna\n"
    lines = read("ships.jsonl", "\n".join(map(json.dumps, records)))
    assert lines.text == document.text
    separated = '{"title": "A\u2028B"}\r\n{"title": "C"}\r{"title": "D"}\n'
    assert read("a.jsonl", separated).text == "## A B\n\n## C\n\n## D\n"
    assert read("a.json", '{"a": {"b": [{"c": 1, "d": null}]}}').text == "a:\n  b:\n    - c: 1\n"
    for text in ('[{"a": NaN, "b": 1}, {"c": -Infinity, "d": 2}]', '{"a": NaN, "b": 1}\n{"c": Infinity, "d": 2}\n'):
        assert read("a.json", text).text == "b: 1\n\nd: 2\n"
    with pytest.raises(DamagedFile, match="line 2 column 1"):
        read("a.json", '{"a": NaN,\n}')


def test_a_page_that_a_browser_saved_with_its_pictures_is_that_page() -> None:
    page = "<!DOCTYPE html><html lang=3D'de'><title>Tide</title><nav>x</nav><main><p>F=C3=BCnf Uhr.</main></html>"
    parts = [
        ("text/html", "https://x.example/a", page),
        ("text/css", "cid:css", "p {}"),
        ("text/html", "cid:ad", "<p>Ad."),
    ]
    saved = "From: <Saved by Blink>\nSnapshot-Content-Location: https://x.example/a\nSubject: Tide\nMIME-Version: 1.0\n"
    saved += 'Content-Type: multipart/related; type="text/html"; boundary="--b"\n\n'
    for kind, place, text in parts:
        saved += (
            f"----b\nContent-Type: {kind}\nContent-Transfer-Encoding: quoted-printable\nContent-Location: {place}\n\n"
        )
        saved += f"{text}\n"
    document = read("a.mhtml", f"{saved}----b--\n")
    assert (document.title, document.text, document.media_type) == ("Tide", "Fünf Uhr.\n", "text/html")
    assert document.metadata == {"language": "de"}


def test_mail() -> None:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = "Tides – today", "Ada <ada@example.org>", "bo@example.org"
    message["Date"] = "Mon, 02 Nov 2026 09:00:00 +0100"
    message.set_content("High water is at nine.\n\nBye")
    message.add_alternative("<p>High water is at <b>nine</b>.</p>", subtype="html")
    message.add_attachment(b"%PDF-", maintype="application", subtype="pdf", filename="table.pdf")
    document = read("message", bytes(message))
    assert document.title == "Tides – today"
    assert document.text.endswith("High water is at nine.\n\nBye\n\nAttachments: table.pdf\n")
    assert document.metadata["date"] == "2026-11-02"
    assert document.metadata["author"] == "Ada <ada@example.org>"
    html = EmailMessage()
    html["Subject"], html["From"] = "Only HTML", "ada@example.org"
    html.set_content("<h1>Tides</h1><p>At nine.</p>", subtype="html")
    assert "# Tides\n\nAt nine." in read("a.eml", bytes(html)).text


def multipart(kind: str, *parts: str) -> str:
    """A part of a mail with others in it; each kind comes once."""
    inner = "".join(f"--{kind}\n{part}\n" for part in parts)
    return f"Content-Type: multipart/{kind}; boundary={kind}\n\n{inner}--{kind}--\n"


def test_all_parts_of_a_mail_without_a_name_are_its_text() -> None:
    plain, page = "Content-Type: text/plain\n\n{}\n", "Content-Type: text/html\n\n<p>{}</p>\n"
    file = "Content-Type: {0}; name={1}\nContent-Disposition: inline; filename={1}\n\nx\n"
    pdf, picture = file.format("application/pdf", "a.pdf"), file.format("image/png", "a.png")
    mixed = multipart("mixed", plain.format("One."), pdf, plain.format("Two."), file.format("text/plain", "b.txt"))
    document = read("a.eml", f"From: ann@example.org\nMIME-Version: 1.0\n{mixed}")
    assert document.text.endswith("One.\n\nTwo.\n\nAttachments: a.pdf, b.txt\n")
    related = multipart("related", page.format("Three."), picture)
    either = multipart("alternative", related, multipart("mixed", plain.format("One."), pdf, plain.format("Two.")))
    document = read("a.eml", f"From: ann@example.org\nMIME-Version: 1.0\n{either}")
    assert document.text.endswith("One.\n\nTwo.\n\nAttachments: a.pdf\n")
    document = read("a.eml", f"From: ann@example.org\nMIME-Version: 1.0\n{related}")
    assert document.text.endswith("Three.\n")


@pytest.mark.parametrize(
    ("plain", "read_of"),
    [
        ("", "page"),
        ("Your program cannot show this mail.", "page"),
        ("The boats leave at nine in the morning, from the old harbour.", "plain"),
    ],
    ids=["empty", "stub", "whole"],
)
def test_a_plain_text_that_only_stands_in_for_the_page_of_a_mail_is_not_its_text(plain: str, read_of: str) -> None:
    said = "The boats leave at nine in the morning. " * 6
    parts = f"Content-Type: text/plain\n\n{plain}\n", f"Content-Type: text/html\n\n<p>{said}</p>\n"
    document = read("a.eml", f"From: ann@example.org\nMIME-Version: 1.0\n{multipart('alternative', *parts)}")
    assert document.text == f"From: ann@example.org\n\n{said.strip() if read_of == 'page' else plain}\n"


def test_the_page_of_a_mail_may_come_after_its_picture_or_be_named_as_its_start() -> None:
    picture = "Content-Type: image/png\nContent-ID: <a@x>\nContent-Disposition: inline; filename=a.png\n\nx\n"
    page = "Content-Type: text/html\nContent-ID: <{0}@x>\n\n<p>Page {0}.</p>\n"
    for start, said in (
        ("", "one"),
        ('; start="<two@x>"', "two"),
        ('; start="two@x"', "two"),
        ('; start="<no@x>"', "one"),
    ):
        related = multipart("related", picture, page.format("one"), page.format("two"))
        related = related.replace("; boundary", f"{start}; boundary", 1)
        document = read("a.eml", f"From: ann@example.org\nMIME-Version: 1.0\n{related}")
        assert document.text.endswith(f"ann@example.org\n\nPage {said}.\n")


def test_a_mail_is_decoded_as_it_or_its_page_says() -> None:
    page = '<html><head><meta charset="windows-1251"></head><body><p>Привет, мир</p></body></html>'
    mail = f"From: ann@example.org\nSubject: Page\nContent-Type: text/html\n\n{page}"
    assert "Привет, мир" in read("a.eml", mail.encode("cp1251")).text
    mail = "From: Müller <m@example.org>\nSubject: Grüße\n aus Köln\nContent-Type: text/plain; charset={}\n\nSchön"
    for charset in ("iso-8859-1", "utf-8"):
        document = read("a.eml", mail.format(charset).encode(charset))
        assert document.title == "Grüße aus Köln"
        assert document.metadata["author"] == "Müller <m@example.org>"
        assert document.text.endswith("Schön\n")
    assert read("a.eml", "From: =?utf-8?q?A=00nn?= <a@b.c>\nSubject: x\n\nx").metadata["author"] == "Ann <a@b.c>"
    mail = "From: ann@example.org\nSubject: привет\nContent-Type: text/plain; charset=koi8-r\n\nмир"
    assert read("a.eml", mail.encode("koi8-r")).title == "привет"


def test_code() -> None:
    source = "import os\n\n\nclass Ferry:\n    async def leave(self):\n        return 9\n\n\ndef main():\n    pass\n"
    document = read("ferry.py", source)
    assert document.text == source
    assert [(h.level, h.title) for h in document.headings] == [
        (2, "class Ferry"),
        (3, "async def leave"),
        (2, "def main"),
    ]
    assert (document.title, document.media_type) == ("ferry.py", "text/x-py")


@pytest.mark.parametrize("part", ["xl/workbook.xml", "ppt/presentation.xml", "content.xml"])
def test_entities_in_a_package_are_refused(part: str) -> None:
    bomb = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><a>&b;</a>'
    mimetype = "application/vnd.oasis.opendocument.text"
    with pytest.raises(DamagedFile, match="XML entities"):
        read("a.odt", packed({"mimetype": mimetype, part: bomb}))


@pytest.mark.parametrize(
    ("mimetype", "part"),
    [
        ("application/vnd.oasis.opendocument.text", "content.xml"),
        ("application/epub+zip", "a.xhtml"),
        ("", "xl/workbook.xml"),
        ("", "ppt/presentation.xml"),
    ],
)
def test_what_unpacks_to_too_much_is_refused_unread(mimetype: str, part: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("mimetype", mimetype)
        with package.open(part, "w") as bomb:
            for _ in range(65):
                bomb.write(bytes(1024 * 1024))
    assert len(buffer.getvalue()) < 200_000
    with pytest.raises(FileTooLarge, match="64 MB"):
        read("a", buffer.getvalue())


def old_workbook() -> bytes:
    """A workbook of Excel 97 with what cells can be."""
    book, out = xlwt.Workbook(), io.BytesIO()
    sheet = book.add_sheet("Bees")
    rows = [["day", "honey", "open"], [date(2026, 11, 2), 3.0, True], [date(2026, 11, 3), 2.5, False]]
    for at, row in enumerate(rows):
        for column, value in enumerate(row):
            style = xlwt.easyxf(num_format_str="yyyy-mm-dd") if isinstance(value, date) else xlwt.Style.default_style
            sheet.write(at, column, value, style)
    book.add_sheet("Empty")
    book.save(out)
    return out.getvalue()


def test_old_workbooks_are_tables_too() -> None:
    document = load(Path("old"), old_workbook())
    assert document.media_type == "application/vnd.ms-excel"
    assert "## Bees\n\n| day | honey | open |" in document.text
    assert "| 2026-11-02 | 3 | True |" in document.text
    assert "| 2026-11-03 | 2.5 | False |" in document.text
    assert "Empty" not in document.text
    with pytest.raises(UnreadableFile):
        load(Path("old.xls"), old_workbook()[:3000])
