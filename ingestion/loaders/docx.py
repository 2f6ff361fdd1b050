"""DOCX: a Word document as the same Markdown-like text that a web page becomes."""

import io
import re
from collections.abc import Iterator, Mapping
from zipfile import ZipFile

import mammoth
from lxml import etree

from app.domain.document import ParsedDocument
from ingestion.loaders.declared import declared
from ingestion.loaders.formula import linear
from ingestion.loaders.html import parse_tree
from ingestion.loaders.html_text import write
from ingestion.loaders.package import opened, refuse_entities, tree
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
_CORE, _STYLE_SHEET, _DOCUMENT, _MEDIA = "docProps/core.xml", "word/styles.xml", "word/document.xml", "word/media/"
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_SPACE = "{http://www.w3.org/XML/1998/namespace}space"
_HEADING = re.compile("heading ([1-6])", re.IGNORECASE)
_CONTENTS = re.compile("toc [1-9]|table of figures", re.IGNORECASE)  # which stands in the text itself
_BODY_LEVEL = 9  # the outline level of what is no heading
_LONGEST_CHAIN = 20  # styles that are based on one another; Word allows no more than 11
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
            styles = _STYLES + "\n".join(_styles(_part(package, _STYLE_SHEET)))
            data = _with_formulas(package) or data
        result = mammoth.convert_to_html(io.BytesIO(data), style_map=styles, convert_image=lambda _: [])
        page = parse_tree(f"<html><body>{result.value}</body></html>")
        for link in page.iter("a"):
            if link.text == _BACK_LINK:
                link.text = ""
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
    """A part's root, as far as it can be read; None when there is none."""
    if name not in package.namelist():
        return None
    return etree.fromstring(package.read(name), etree.XMLParser(resolve_entities=False, no_network=True, recover=True))


def _properties(root: etree._Element | None) -> dict[str, str]:
    """What the document's properties say."""
    return {tag.rpartition("}")[2]: root.findtext(tag) or "" if root is not None else "" for tag in _PROPERTIES}


def _styles(sheet: etree._Element | None) -> Iterator[str]:
    """mammoth's rules for styles: headings by what they are based on or by their level, no table of contents."""
    styles = list(sheet.iter(f"{_W}style")) if sheet is not None else []
    named = {style.get(f"{_W}styleId"): style for style in styles}
    for style in styles:
        name = _value(style, "name")
        quoted = name.replace("\\", "\\\\").replace("'", "\\'")
        if _CONTENTS.fullmatch(name):
            yield f"p[style-name='{quoted}'] => !"
        elif not _HEADING.fullmatch(name) and (level := _level(style, named)):
            yield f"p[style-name='{quoted}'] => h{level}:fresh"


def _level(style: etree._Element, named: Mapping[str | None, etree._Element]) -> int:
    """The level of a paragraph style's headings, from 1 to 6; 0 when it makes none."""
    for _ in range(_LONGEST_CHAIN):
        if (heading := _HEADING.fullmatch(_value(style, "name"))) is not None:
            return int(heading[1])
        if (outline := _value(style, "pPr", "outlineLvl")).isdecimal():
            return min(6, int(outline) + 1) if int(outline) < _BODY_LEVEL else 0
        base = named.get(_value(style, "basedOn"))
        if base is None:
            return 0
        style = base
    return 0


def _value(element: etree._Element, *path: str) -> str:
    found = element.find("/".join(f"{_W}{name}" for name in path))
    return found.get(f"{_W}val") or "" if found is not None else ""


def _with_formulas(package: ZipFile) -> bytes | None:
    """The package with its equations, which mammoth leaves out, as text; None when it has none."""
    if _DOCUMENT not in package.namelist() or b"oMath" not in (document := package.read(_DOCUMENT)):
        return None
    root = tree(document)
    for formula in list(root.iter(f"{_M}oMath")):
        run = etree.Element(f"{_W}r")
        etree.SubElement(run, f"{_W}t", {_SPACE: "preserve"}).text = linear(formula)
        run.tail = formula.tail
        formula.getparent().replace(formula, run)
    etree.strip_tags(root, f"{_M}oMathPara")
    out = io.BytesIO()
    with ZipFile(out, "w") as written:
        for name in dict.fromkeys(package.namelist()):
            if name == _DOCUMENT:
                written.writestr(name, etree.tostring(root))
            elif not name.startswith(_MEDIA):
                written.writestr(name, package.read(name))
    return out.getvalue()
