"""PDF: the text of a document's pages as paragraphs, with its outline as headings."""

import ctypes
import re
import threading
from itertools import takewhile
from statistics import median
from typing import Any

import pypdfium2
from pypdfium2 import raw

from app.domain.document import ParsedDocument
from app.domain.errors import DamagedFile, EmptyFile, EncryptedFile
from ingestion.loaders.characters import clean
from ingestion.loaders.declared import declared
from ingestion.loaders.pdf_headings import Entry, locate, numbered
from ingestion.loaders.pdf_layout import Layout, lay_out
from ingestion.loaders.pdf_page import read_page
from ingestion.loaders.pdf_tags import tagged
from ingestion.loaders.reader import StructureReader
from ingestion.loaders.recognition import Recognizer, available
from ingestion.loaders.title import choose_title

MEDIA_TYPE = "application/pdf"

_PDFIUM = threading.Lock()  # the library is not safe to call from two threads
_NO_TITLE = re.compile(
    r"(?:untitled|microsoft word|powerpoint|\(anonymous\)) ?.*"
    r"|.*\.(?:docx?|tex|dvi|indd|qxd|rtf|odt|pptx?|xlsx?|pdf|html?)"
    r"|(?:document|slide|title|\W)*\d*",
    re.IGNORECASE,
)


class PdfReader(StructureReader):
    """Reads the text layer of a PDF with PDFium; a page without one is recognised, where the extra `ocr` is there."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """Paragraphs with hyphens undone, the start of each page, headings where outline or tags and the text agree."""
        recognizer = Recognizer() if available() else None
        with _PDFIUM:
            document = _open(data)
            try:
                pages = [read_page(document, number, recognizer) for number in range(len(document))]
                outline = _outline(document) or tagged(document)
                language = _language(document)
                title, author, made = map(document.get_metadata_value, ("Title", "Author", "CreationDate"))
            finally:
                document.close()
        layout = lay_out(pages)
        if not layout.text.strip():
            raise EmptyFile(
                "There is no text in the PDF, and none was recognised on its pages."
                if recognizer
                else "The PDF has no text layer (it is a scan, or empty); install Footnote's extra `ocr`, or run the "
                "file through OCR, and ingest it again."
            )
        if _NO_TITLE.fullmatch(title.strip()):
            title = _largest_text(layout)
        return ParsedDocument(
            text=layout.text + "\n",
            title=choose_title(layout.text, (), clean(title), name),
            media_type=MEDIA_TYPE,
            headings=locate(outline, layout) or numbered(layout),
            page_starts=layout.page_starts,
            metadata=declared(author=author, date=made, language=language),
        )


def _open(data: bytes) -> Any:
    """The document, opened without a password. Raises EncryptedFile, DamagedFile."""
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if error.err_code == raw.FPDF_ERR_PASSWORD:
            raise EncryptedFile("The PDF needs a password; remove it and ingest the file again.") from error
        raise DamagedFile("The PDF is damaged or truncated; get a whole copy and ingest it again.") from error
    # PDFium reads what it finds of a file that was cut off: half a document must not pass for the whole.
    if b"%%EOF" not in data[-2048:] and not raw.FPDF_DocumentHasValidCrossReferenceTable(document):
        document.close()
        raise DamagedFile("The PDF is truncated (it ends in the middle); get a whole copy and ingest it again.")
    return document


def _language(document: Any) -> str:
    """What the catalog says of the language, in UTF-16 as PDFium gives it."""
    size = raw.FPDFCatalog_GetLanguage(document, None, 0)
    buffer = ctypes.create_string_buffer(size)
    raw.FPDFCatalog_GetLanguage(document, ctypes.cast(buffer, ctypes.POINTER(raw.FPDF_WCHAR)), size)
    return buffer.raw.decode("utf-16-le", "replace").rstrip("\0")


def _outline(document: Any) -> list[Entry]:
    """The outline's entries that point to a page."""
    entries = []
    for bookmark in document.get_toc():
        target = bookmark.get_dest()
        page = target.get_index() if target is not None else None
        if page is not None and (title := clean(bookmark.get_title()).strip()):
            entries.append(Entry(bookmark.level + 1, title, page))
    return entries


def _largest_text(layout: Layout) -> str:
    """What is set largest on the first page, if it is set larger than the rest."""
    lines = [line for _, line in layout.lines[0] if not line.sideways] if layout.lines else []
    lines = [line for line in lines if sum(map(str.isalpha, line.text)) > 3]
    largest = max((line.height for line in lines), default=0)
    if not lines or largest < 1.15 * median(line.height for line in lines):
        return ""
    first = next(index for index, line in enumerate(lines) if line.height > 0.8 * largest)  # a figure may outdo it
    title = lines[first]
    alike = takewhile(lambda line: abs(line.height - title.height) < 0.5 and line.font == title.font, lines[first:])
    return " ".join(line.text for line in alike)
