"""DOCX loader: Word's styles become headings, lists and tables; packages that are not harmless are refused."""

import io
from datetime import datetime
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import docx
import pytest
from docx.enum.style import WD_STYLE_TYPE
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from app.domain.document import ParsedDocument
from app.domain.errors import DamagedFile, EmptyFile, EncryptedFile, FileTooLarge
from ingestion.loaders import package
from ingestion.loaders.dispatch import load


def saved(made: object) -> bytes:
    out = io.BytesIO()
    made.save(out)  # type: ignore[attr-defined]
    return out.getvalue()


def repacked(data: bytes, **parts: bytes) -> bytes:
    """The package with parts replaced or added; `word__document` stands for `word/document.xml`."""
    names = {name.replace("__", "/") + ".xml": content for name, content in parts.items()}
    out = io.BytesIO()
    with ZipFile(io.BytesIO(data)) as package, ZipFile(out, "w", ZIP_DEFLATED) as changed:
        for name in package.namelist():
            changed.writestr(name, names.pop(name, None) or package.read(name))
        for name, content in names.items():
            changed.writestr(name, content)
    return out.getvalue()


def one_paragraph(text: str = "Words.") -> bytes:
    made = docx.Document()
    made.add_paragraph(text)
    return saved(made)


def read(data: bytes) -> ParsedDocument:
    return load(Path("a.docx"), data)


def test_ticks_are_read() -> None:
    made = docx.Document()
    paragraph = made.add_paragraph()
    for ticked, text in ((1, "Yes"), (0, "No")):
        paragraph._p.append(
            parse_xml(
                f"""<w:sdt {nsdecls("w")} xmlns:w14="http://schemas.microsoft.com/office/word/2010/wordml">
                <w:sdtPr><w14:checkbox><w14:checked w14:val="{ticked}"/></w14:checkbox></w:sdtPr>
                <w:sdtContent><w:r><w:t>{"☐☒"[ticked]}</w:t></w:r></w:sdtContent></w:sdt>"""
            )
        )
        paragraph.add_run(f" {text} ")
    assert read(saved(made)).text == "☒ Yes ☐ No\n"


def test_styles_become_structure() -> None:
    made = docx.Document()
    made.add_heading("Handbook", 0)
    made.add_heading("Oven", 1)
    made.add_paragraph("Heat it to 220 °C.").add_run(" Wait.").bold = True
    made.add_heading("Steam", 2)
    made.add_paragraph("water", style="List Bullet")
    made.add_paragraph("a tray", style="List Bullet")
    table = made.add_table(rows=2, cols=2)
    for cell, text in zip((c for row in table.rows for c in row.cells), ("Bread", "min", "Rye", "55"), strict=True):
        cell.text = text
    document = read(saved(made))
    assert document.text == (
        "# Handbook\n\n# Oven\n\nHeat it to 220 °C. Wait.\n\n## Steam\n\n- water\n- a tray\n\n"
        "| Bread | min |\n| --- | --- |\n| Rye | 55 |\n"
    )
    assert [(h.level, h.title) for h in document.headings] == [(1, "Handbook"), (1, "Oven"), (2, "Steam")]
    assert document.title == "Handbook"
    assert document.page_starts == ()


def test_styles_that_are_headings_by_descent_or_level() -> None:
    made = docx.Document()
    for name, base in (("Firm's title", "Heading 1"), ("Firm's part", "Firm's title"), ("toc 1", "Normal")):
        made.styles.add_style(name, WD_STYLE_TYPE.PARAGRAPH).base_style = made.styles[base]  # type: ignore[attr-defined]
    for name, level in (("Level", 1), ("Body", 9)):
        style = made.styles.add_style(name, WD_STYLE_TYPE.PARAGRAPH)
        style.base_style = made.styles["Heading 1"]  # type: ignore[attr-defined]
        style.element.get_or_add_pPr().append(parse_xml(f'<w:outlineLvl {nsdecls("w")} w:val="{level}"/>'))
    made.add_paragraph("Oven\t3", style="toc 1")
    for text, name in (("Oven", "Firm's title"), ("Heat", "Firm's part"), ("Steam", "Level"), ("Wait.", "Body")):
        made.add_paragraph(text, style=name)
    assert read(saved(made)).text == "# Oven\n\n# Heat\n\n## Steam\n\nWait.\n"


def test_a_clause_that_has_a_headings_style_is_a_paragraph() -> None:
    made = docx.Document()
    made.add_heading("Fees", 1)
    made.add_heading("The customer pays them. " * 12, 2)
    document = read(saved(made))
    assert [heading.title for heading in document.headings] == ["Fees"]
    assert document.text.startswith("# Fees\n\nThe customer pays them. The")


class Numbered:
    """A document with a list of four levels (90), one of steps (91), and the latter begun anew (92)."""

    def __init__(self) -> None:
        self.made = docx.Document()
        levels = self.level(0, "%1.", style="Heading1") + self.level(1, "%1.%2") + self.level(2, "(%3)", "lowerLetter")
        self.add("abstractNum", 90, levels + self.level(3, "§ %4", "upperRoman"))
        self.add("abstractNum", 91, self.level(0, "%1.") + self.level(1, "o", "bullet"))
        self.add("num", 90, '<w:abstractNumId w:val="90"/>')
        self.add("num", 91, '<w:abstractNumId w:val="91"/>')
        again = '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="3"/></w:lvlOverride>'
        self.add("num", 92, f'<w:abstractNumId w:val="91"/>{again}')
        style = self.made.styles["Heading 1"].element.get_or_add_pPr()
        style.append(parse_xml(f'<w:numPr {nsdecls("w")}><w:numId w:val="90"/></w:numPr>'))

    def level(
        self, at: int, text: str, kind: str = "decimal", *, start: int = 1, style: str = "", more: str = ""
    ) -> str:
        named = f'<w:pStyle w:val="{style}"/>' if style else ""
        return (
            f'<w:lvl w:ilvl="{at}"><w:start w:val="{start}"/><w:numFmt w:val="{kind}"/>{named}{more}'
            f'<w:lvlText w:val="{text}"/></w:lvl>'
        )

    def add(self, kind: str, number: int, content: str) -> None:
        name = "abstractNumId" if kind == "abstractNum" else "numId"
        one = parse_xml(f'<w:{kind} {nsdecls("w")} w:{name}="{number}">{content}</w:{kind}>')
        numbering = self.made.part.numbering_part.element
        numbering.insert(0 if kind == "abstractNum" else len(numbering), one)

    def paragraph(self, text: str, number: int | None = None, at: int = 0, style: str | None = None) -> None:
        properties = self.made.add_paragraph(text, style=style)._p.get_or_add_pPr()
        if number is not None:
            said = f'<w:ilvl w:val="{at}"/><w:numId w:val="{number}"/>'
            properties.append(parse_xml(f"<w:numPr {nsdecls('w')}>{said}</w:numPr>"))

    def text(self) -> str:
        return read(saved(self.made)).text


def test_numbers_are_those_that_word_shows() -> None:
    contract = Numbered()
    contract.paragraph("Terms", style="Heading 1")
    for text, at in (("In this contract:", 1), ("Fee is the fee;", 2), ("Term is the term.", 2), ("It is binding.", 1)):
        contract.paragraph(text, 90, at)
    contract.paragraph("", 90, 1)
    contract.paragraph("Fees", style="Heading 1")
    contract.paragraph("Pay 5 %.", 90, 1)
    contract.paragraph("In between.")
    contract.paragraph("Late fees:", 90, 1)
    contract.paragraph("deep", 90, 3)
    contract.paragraph("Annex", 0, style="Heading 1")
    assert contract.text() == (
        "# 1. Terms\n\n1.1 In this contract:\n    (a) Fee is the fee;\n    (b) Term is the term.\n1.2 It is binding."
        "\n\n# 2. Fees\n\n2.1 Pay 5 %.\n\nIn between.\n\n2.2 Late fees:\n    § I deep\n\n# Annex\n"
    )


def test_steps_go_on_after_what_stands_between_them() -> None:
    manual = Numbered()
    manual.paragraph("Open it.", 91)
    manual.paragraph("Like this.")
    for text, number, at in (
        ("Press.", 91, 0),
        ("Gently.", 91, 1),
        ("Close.", 91, 0),
        ("Anew.", 92, 0),
        ("On.", 92, 0),
    ):
        manual.paragraph(text, number, at)
    assert manual.text() == "1. Open it.\n\nLike this.\n\n2. Press.\n   - Gently.\n3. Close.\n3. Anew.\n4. On.\n"


@pytest.mark.parametrize(
    ("level", "numbers"),
    [
        ({"text": "%1)", "kind": "upperLetter", "start": 26}, ["Z)", "AA)"]),
        ({"text": "%1.", "kind": "lowerRoman", "start": 1999}, ["mcmxcix.", "mm."]),
        ({"text": "%1", "kind": "decimalZero", "start": 9}, ["09.", "10."]),
        ({"text": "Article %1:", "kind": "cardinalText"}, ["Article 1:", "Article 2:"]),
        ({"text": "%1.%1", "kind": "upperRoman", "more": "<w:isLgl/>"}, ["1.1", "2.2"]),
        ({"text": "", "kind": "none"}, ["1.", "2."]),  # without numbers of its own it is an ordered list
    ],
)
def test_formats_of_numbers(level: dict[str, Any], numbers: list[str]) -> None:
    document = Numbered()
    document.add("abstractNum", 93, document.level(0, **level))
    document.add("num", 93, '<w:abstractNumId w:val="93"/>')
    for _ in numbers:
        document.paragraph("said", 93)
    assert document.text() == "".join(f"{number} said\n" for number in numbers)


def test_a_list_may_be_that_of_a_style() -> None:
    document = Numbered()
    style = document.made.styles.add_style("Legal", WD_STYLE_TYPE.LIST).element.get_or_add_pPr()
    style.append(parse_xml(f'<w:numPr {nsdecls("w")}><w:numId w:val="90"/></w:numPr>'))
    document.add("abstractNum", 94, '<w:numStyleLink w:val="Legal"/>')
    document.add("num", 94, '<w:abstractNumId w:val="94"/>')
    document.paragraph("First", style="Heading 1")
    document.paragraph("of it", 94, 1)
    document.paragraph("of none", 4711, 1)
    assert document.text() == "# 1. First\n\n1.1 of it\n\nof none\n"


def test_equations_are_written_in_one_line() -> None:
    maths = f'{nsdecls("w")} xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
    power = "<m:e><m:r><m:t>r</m:t></m:r></m:e><m:sup><m:r><m:t>2</m:t></m:r></m:sup>"
    raised = f"<m:sSup><m:sSupPr><m:ctrlPr/></m:sSupPr>{power}</m:sSup>"
    made = docx.Document()
    inline, apart = made.add_paragraph("An area of "), made.add_paragraph()
    inline._p.append(parse_xml(f"<m:oMath {maths}><m:r><m:t>A=π</m:t></m:r>{raised}</m:oMath>"))
    inline.add_run(" is enough.")
    apart._p.append(parse_xml(f"<m:oMathPara {maths}><m:oMathParaPr/><m:oMath>{raised}</m:oMath></m:oMathPara>"))
    assert read(saved(made)).text == "An area of A=πr^2 is enough.\n\nr^2\n"


def test_merged_cells_leave_the_others_in_their_columns() -> None:
    made = docx.Document()
    table = made.add_table(rows=3, cols=3)
    texts = ("Region", "Product", "Price", "North", "Apple", "10", "", "Pear", "20")
    for cell, text in zip((c for row in table.rows for c in row.cells), texts, strict=True):
        cell.text = text
    table.cell(1, 0).merge(table.cell(2, 0))
    assert read(saved(made)).text.endswith("| North | Apple | 10 |\n| North | Pear | 20 |\n")


def test_the_title_is_that_of_the_properties_when_there_is_no_heading() -> None:
    made = docx.Document()
    made.core_properties.title = "Given title"
    made.add_paragraph("Words.")
    assert read(saved(made)).title == "Given title"


@pytest.mark.parametrize(
    ("heading", "declared", "title"),
    [
        ("1. Terms", "", "a"),
        ("1 Terms", "Contract", "Contract"),
        ("1.1 Terms", "", "a"),
        ("I. Terms", "", "a"),
        ("10 rules", "Contract", "10 rules"),
        ("2026 in brief", "Contract", "2026 in brief"),
    ],
)
def test_a_chapter_is_not_the_title_of_the_whole(heading: str, declared: str, title: str) -> None:
    made = docx.Document()
    made.core_properties.title = declared
    made.add_heading(heading, 1)
    made.add_heading("Others", 1)
    assert read(saved(made)).title == title


def test_what_the_properties_declare_is_metadata() -> None:
    made = docx.Document()
    about = made.core_properties
    about.author, about.language, about.modified = "Ann", "de-DE", datetime(2026, 3, 1)
    made.add_paragraph("Words.")
    assert read(saved(made)).metadata == {"author": "Ann", "date": "2026-03-01", "language": "de-DE"}


def test_footnotes_follow_the_text_without_links_back() -> None:
    w = "xmlns:w='http://schemas.openxmlformats.org/wordprocessingml/2006/main'"
    body = "<w:p><w:r><w:t>In 1920</w:t></w:r><w:r><w:footnoteReference w:id='2'/></w:r></w:p>"
    note = "<w:footnote w:id='2'><w:p><w:r><w:t>See the register.</w:t></w:r></w:p></w:footnote>"
    package = repacked(
        one_paragraph(),
        word__document=f"<w:document {w}><w:body>{body}</w:body></w:document>".encode(),
        word__footnotes=f"<w:footnotes {w}>{note}</w:footnotes>".encode(),
    )
    assert read(package).text == "In 1920[1]\n\n1. See the register.\n"


def test_a_document_without_words_is_empty() -> None:
    with pytest.raises(EmptyFile):
        read(saved(docx.Document()))


def test_a_truncated_document_is_damaged() -> None:
    whole = one_paragraph()
    for size in (100, len(whole) // 2, len(whole) - 30):
        with pytest.raises(DamagedFile):
            read(whole[:size])


def test_a_flipped_byte_is_noticed() -> None:
    data = bytearray(one_paragraph("Words. " * 2000))
    start = data.index(b"word/document.xml") + 60
    data[start : start + 20] = bytes(20)
    with pytest.raises(DamagedFile):
        read(bytes(data))


@pytest.mark.parametrize(
    "declaration",
    [
        b"<!DOCTYPE x [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'>]>",
        b"<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/hostname'>]>",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_refused(declaration: bytes, encoding: str) -> None:
    xml = declaration.decode() + "<x>&a;</x>"
    with pytest.raises(DamagedFile, match="entities"):
        read(repacked(one_paragraph(), word__document=xml.encode(encoding)))


def test_a_package_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "LARGEST_TEXT", 1_000_000)
    with pytest.raises(FileTooLarge, match="split it"):
        read(repacked(one_paragraph(), word__padding=b" " * 1_000_001))


def test_an_encrypted_member_is_said_to_be_encrypted() -> None:
    data = bytearray(one_paragraph())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        position = data.find(signature)
        while position >= 0:
            data[position + offset] |= 1
            position = data.find(signature, position + 4)
    with pytest.raises(EncryptedFile):
        read(bytes(data))


def test_deep_tables_do_not_end_the_process() -> None:
    namespace = "xmlns:w='http://schemas.openxmlformats.org/wordprocessingml/2006/main'"
    opened, closed = "<w:tbl><w:tr><w:tc>", "<w:p/></w:tc></w:tr></w:tbl>"
    xml = f"<w:document {namespace}><w:body>{opened * 3000}<w:p/>{closed * 3000}</w:body></w:document>"
    with pytest.raises(DamagedFile):
        read(repacked(one_paragraph(), word__document=xml.encode()))
