"""DOCX: a Word document as the same Markdown-like text that a web page becomes."""

import io
import re
from collections.abc import Iterator, Mapping
from zipfile import ZipFile

import mammoth
from lxml import etree

from app.domain.document import ParsedDocument
from ingestion.loaders.declared import declared
from ingestion.loaders.docx_numbers import Numbers, W, descent, value
from ingestion.loaders.formula import linear
from ingestion.loaders.html import parse_tree
from ingestion.loaders.html_text import write
from ingestion.loaders.package import opened, refuse_entities
from ingestion.loaders.reader import StructureReader
from ingestion.loaders.title import choose_title

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
KIND = "document"

# in addition to mammoth's own: Word's title and the usual names of code styles
_STYLES = """
p[style-name='Title'] => h1:fresh
p[style-name='Code'] => pre:separator('\\n')
p[style-name='Source Code'] => pre:separator('\\n')
p[style-name='HTML Preformatted'] => pre:separator('\\n')
"""
_CORE, _STYLE_SHEET, _NUMBERING = "docProps/core.xml", "word/styles.xml", "word/numbering.xml"
_DOCUMENT, _MEDIA = "word/document.xml", "word/media/"
_CHOICE = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Choice"
_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_SPACE = "{http://www.w3.org/XML/1998/namespace}space"
_HEADING = re.compile("heading ([1-6])", re.IGNORECASE)
_CONTENTS = re.compile("toc [1-9]|table of figures", re.IGNORECASE)  # which stands in the text itself
_BODY_LEVEL = 9  # the outline level of what is no heading
_NUMBER = re.compile("\ue000([^\ue001]*)\ue001")  # of private use: around a number, until it is known where it stands
_DC, _TERMS = "{http://purl.org/dc/elements/1.1/}", "{http://purl.org/dc/terms/}"
_PROPERTIES = (f"{_DC}title", f"{_DC}creator", f"{_DC}language", f"{_TERMS}created", f"{_TERMS}modified")
_BACK_LINK = "↑"  # mammoth's way back from a footnote


class DocxReader(StructureReader):
    """Reads Word documents through mammoth; pages are not in the file, images and tracked deletions are left out."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """Headings by style, lists, tables, equations and footnotes; without the table of contents.

        Raises DamagedFile, EncryptedFile, FileTooLarge.
        """
        with opened(data, KIND) as package:
            refuse_entities(package, KIND)
            about = _properties(_part(package, _CORE))
            sheet = _part(package, _STYLE_SHEET)
            named = {} if sheet is None else {style.get(f"{W}styleId"): style for style in sheet.iter(f"{W}style")}
            styles = _STYLES + "\n".join(_rules(named))
            data = _spelled_out(package, named) or data
        result = mammoth.convert_to_html(io.BytesIO(data), style_map=styles, convert_image=lambda _: [])
        page = parse_tree(f"<html><body>{result.value}</body></html>")
        for link in page.iter("a"):
            if link.text == _BACK_LINK:
                link.text = ""
        _place_numbers(page)
        text, headings = write(page)
        return ParsedDocument(
            text=text,
            title=choose_title(text, headings, about["title"], name),
            media_type=MEDIA_TYPE,
            headings=headings,
            metadata=declared(
                author=about["creator"], date=about["modified"] or about["created"], language=about["language"]
            ),
        )


def _part(package: ZipFile, name: str) -> etree._Element | None:
    """A part's root; None when there is none that can be read."""
    if name not in package.namelist():
        return None
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)  # its size is known
    try:
        return etree.fromstring(package.read(name), parser)
    except etree.XMLSyntaxError:
        return None


def _properties(root: etree._Element | None) -> dict[str, str]:
    """What the document's properties say."""
    return {tag.rpartition("}")[2]: root.findtext(tag) or "" if root is not None else "" for tag in _PROPERTIES}


def _rules(styles: Mapping[str | None, etree._Element]) -> Iterator[str]:
    """mammoth's rules for styles: headings by what they are based on or by their level, no table of contents."""
    for style_id, style in styles.items():
        name = value(style, "name")
        quoted = name.replace("\\", "\\\\").replace("'", "\\'")
        if _CONTENTS.fullmatch(name):
            yield f"p[style-name='{quoted}'] => !"
        elif not _HEADING.fullmatch(name) and (level := _level(style_id, styles)):
            yield f"p[style-name='{quoted}'] => h{level}:fresh"


def _level(style_id: str | None, styles: Mapping[str | None, etree._Element]) -> int:
    """The level of a paragraph style's headings, from 1 to 6; 0 when it makes none."""
    for style in descent(style_id, styles):
        if (heading := _HEADING.fullmatch(value(style, "name"))) is not None:
            return int(heading[1])
        if (outline := value(style, "pPr", "outlineLvl")).isdecimal():
            return min(6, int(outline) + 1) if int(outline) < _BODY_LEVEL else 0
    return 0


def _spelled_out(package: ZipFile, styles: Mapping[str | None, etree._Element]) -> bytes | None:
    """The package with what mammoth leaves out as text: equations and numbers; None when it has none."""
    root, numbers = _part(package, _DOCUMENT), Numbers(_part(package, _NUMBERING), styles)
    if root is None:
        return None
    changed = False
    for formula in list(root.iter(f"{_M}oMath")):
        run = _run(linear(formula))
        run.tail = formula.tail
        formula.getparent().replace(formula, run)
        changed = True
    etree.strip_tags(root, f"{_M}oMathPara")
    for paragraph in root.iter(f"{W}p"):
        if next(paragraph.iterancestors(_CHOICE), None) is not None:  # mammoth reads the other one
            continue
        number = numbers.next(paragraph)
        if number and any(text.text for text in paragraph.iter(f"{W}t")):
            properties = paragraph.find(f"{W}pPr")
            paragraph.insert(0 if properties is None else 1, _run(f"\ue000{number}\ue001"))
            changed = True
    return _repacked(package, etree.tostring(root)) if changed else None


def _run(text: str) -> etree._Element:
    run = etree.Element(f"{W}r")
    etree.SubElement(run, f"{W}t", {_SPACE: "preserve"}).text = text
    return run


def _repacked(package: ZipFile, document: bytes) -> bytes:
    out = io.BytesIO()
    with ZipFile(out, "w") as written:
        for name in dict.fromkeys(package.namelist()):
            if not name.startswith(_MEDIA):
                written.writestr(name, document if name == _DOCUMENT else package.read(name))
    return out.getvalue()


def _place_numbers(page: etree._Element) -> None:
    """Make the numbers of items those of the list, and the others words."""
    for element in page.iter():
        if element.tag == "li" and (number := _NUMBER.match(element.text or "")) is not None:
            element.set("value", f"{number[1]}." if number[1].isdecimal() else number[1])
            element.text = element.text[number.end() :]
        if element.text:
            element.text = _NUMBER.sub(r"\1 ", element.text)
        if element.tail:
            element.tail = _NUMBER.sub(r"\1 ", element.tail)
