"""DOCX: a Word document as the same Markdown-like text that a web page becomes."""

import io

import mammoth
from lxml import etree

from app.domain.document import ParsedDocument
from ingestion.loaders.declared import declared
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
_CORE = "docProps/core.xml"
_DC, _TERMS = "{http://purl.org/dc/elements/1.1/}", "{http://purl.org/dc/terms/}"
_PROPERTIES = (f"{_DC}title", f"{_DC}creator", f"{_DC}language", f"{_TERMS}created", f"{_TERMS}modified")
_BACK_LINK = "↑"  # mammoth's way back from a footnote


class DocxReader(StructureReader):
    """Reads Word documents through mammoth; pages are not in the file, images and tracked deletions are left out."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """Headings by style, lists, tables and footnotes."""
        about = _inspect(data)
        result = mammoth.convert_to_html(io.BytesIO(data), style_map=_STYLES, convert_image=lambda _: [])
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


def _inspect(data: bytes) -> dict[str, str]:
    """What the document's properties say, once the package is known to be safe to unpack.

    Raises DamagedFile, EncryptedFile, FileTooLarge.
    """
    with opened(data, KIND) as package:
        refuse_entities(package, KIND)
        return _properties(package.read(_CORE) if _CORE in package.namelist() else b"<none/>")


def _properties(core: bytes) -> dict[str, str]:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, recover=True)
    root = etree.fromstring(core, parser)
    return {tag.rpartition("}")[2]: root.findtext(tag) or "" if root is not None else "" for tag in _PROPERTIES}
