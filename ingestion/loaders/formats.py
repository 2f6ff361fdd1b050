"""Formats: the kinds of files that can be read, and how each is told by its content."""

import io
import re
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from app.domain.errors import DamagedFile, EncryptedFile, UnsupportedFormat
from ingestion.loaders.compound import opened


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file: what people call it, its suffixes, and `module:class` of its reader, imported when needed.

    `members` is `module:function` of what finds the files in it, where it can have any; `reader` None when it has
    nothing else.
    """

    name: str
    suffixes: tuple[str, ...]
    reader: str | None
    members: str | None = None


MARKDOWN = Format(
    "Markdown", (".md", ".markdown", ".mdx", ".mkd", ".qmd", ".rmd"), "ingestion.loaders.markdown:MarkdownReader"
)
RST = Format("reStructuredText", (".rst", ".rest"), "ingestion.loaders.restructuredtext:RestructuredTextReader")
PLAIN = Format("plain text", (".txt", ".text"), "ingestion.loaders.plain:PlainTextReader")
HTML = Format("HTML", (".html", ".htm", ".xhtml"), "ingestion.loaders.html:HtmlReader")
PDF = Format("PDF", (".pdf",), "ingestion.loaders.pdf:PdfReader")
DOCX = Format("DOCX", (".docx", ".docm", ".dotx", ".dotm"), "ingestion.loaders.docx:DocxReader")
PPTX = Format("PPTX", (".pptx", ".pptm", ".ppsx", ".ppsm", ".potx"), "ingestion.loaders.pptx:PptxReader")
XLSX = Format("XLSX", (".xlsx", ".xlsm", ".xltx", ".xltm"), "ingestion.loaders.xlsx:XlsxReader")
DOC = Format("DOC", (".doc", ".dot"), "ingestion.loaders.doc:DocReader")
PPT = Format("PPT", (".ppt", ".pps"), "ingestion.loaders.ppt:PptReader")
ODT = Format("ODT", (".odt", ".ott"), "ingestion.loaders.open_document:OdtReader")
ODP = Format("ODP", (".odp",), "ingestion.loaders.open_document:OdpReader")
ODS = Format("ODS", (".ods",), "ingestion.loaders.open_document:OdsReader")
EPUB = Format("EPUB", (".epub",), "ingestion.loaders.epub:EpubReader")
RTF = Format("RTF", (".rtf",), "ingestion.loaders.rtf:RtfReader")
CSV = Format("CSV", (".csv", ".tsv", ".tab"), "ingestion.loaders.delimited:DelimitedReader")
JSON = Format("JSON", (".json", ".jsonl", ".ndjson"), "ingestion.loaders.json_records:JsonReader")
NOTEBOOK = Format("Jupyter", (".ipynb",), "ingestion.loaders.notebook:NotebookReader")
MAIL = Format("mail", (".eml", ".mht", ".mhtml"), "ingestion.loaders.mail:MailReader", "ingestion.loaders.mail:members")
OUTLOOK = Format(
    "Outlook mail", (".msg",), "ingestion.loaders.outlook:OutlookReader", "ingestion.loaders.outlook:members"
)
ARCHIVE = Format("ZIP", (".zip",), None, "ingestion.loaders.archive:members")
XLS = Format("XLS", (".xls",), "ingestion.loaders.xls:XlsReader")
ASCIIDOC = Format("AsciiDoc", (".adoc", ".asciidoc"), "ingestion.loaders.outline:AsciiDocReader")
ORG = Format("Org", (".org",), "ingestion.loaders.outline:OrgReader")
_CODE_SUFFIXES = (
    *(".py", ".js", ".ts", ".tsx", ".jsx", ".java", ".go", ".rs", ".rb", ".php", ".cs", ".c", ".h", ".cpp", ".hpp"),
    *(".kt", ".swift", ".scala", ".sh", ".sql", ".css"),
)
CODE = Format("source code", _CODE_SUFFIXES, "ingestion.loaders.code:CodeReader")
FORMATS = (
    *(MARKDOWN, RST, ASCIIDOC, ORG, PLAIN, HTML, PDF, DOCX, DOC, PPTX, PPT, XLSX, XLS, ODT, ODP, ODS, EPUB, RTF, CSV),
    *(JSON, NOTEBOOK, MAIL, OUTLOOK, ARCHIVE, CODE),
)
SUFFIXES = {suffix: format_ for format_ in FORMATS for suffix in format_.suffixes}
TEXT_SUFFIXES = {"text/plain": ".txt", "text/markdown": ".md", "text/html": ".html"}  # of texts that are no files

_SUPPORTED = "Supported are " + ", ".join(f"{format_.name} ({format_.suffixes[0]})" for format_ in FORMATS) + "."
_SNIFFED_BYTES = 65_536
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_PACKAGE = "EncryptedPackage"
_HTML = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:(?><!--.*?-->)\s*)*+<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_RST = re.compile(
    rb"^\.\. (?:[\w:-]+::|_[^\n]+:[ \t]*$)"  # a directive or a target
    rb"|(?:\A|\n[ \t]*\n)[^\s>|.*-][^\n]*\n([=~^\"'#*+-])\1{3,}[ \t]*\n"  # a title
    rb"|:(?:ref|doc|class|meth|func|mod|attr|setting):`",
    re.MULTILINE,
)
_MAIL = re.compile(
    rb"\A(?:From [^\n]*\n)?(?:(?:Return-Path|Received|Delivered-To|Message-ID|MIME-Version|From|To|Date|Subject"
    rb"|X-[\w-]+|DKIM-Signature|Content-[\w-]+|Reply-To|Cc|Sender|Thread-[\w-]+): ?[^\n]*\n(?:[ \t][^\n]*\n)*){2}",
    re.IGNORECASE,
)
_BY_MIMETYPE = {
    b"application/vnd.oasis.opendocument.text": ODT,
    b"application/vnd.oasis.opendocument.presentation": ODP,
    b"application/vnd.oasis.opendocument.spreadsheet": ODS,
    b"application/epub+zip": EPUB,
}
_PACKAGES = {DOCX, PPTX, XLSX, ODT, ODP, ODS, EPUB}
_IN_PACKAGE = {"word/document.xml": DOCX, "ppt/presentation.xml": PPTX, "xl/workbook.xml": XLSX}
_IN_COMPOUND = {
    "WordDocument": DOC,
    "PowerPoint Document": PPT,
    "Workbook": XLS,
    "Book": XLS,
    "__properties_version1.0": OUTLOOK,
}
_BY_SUFFIX = {MARKDOWN, RST, ASCIIDOC, ORG, HTML, CSV, JSON, NOTEBOOK, MAIL, CODE}  # texts whose content does not tell
_OFFICE = b"urn:schemas-microsoft-com:office"
_MARKDOWN = re.compile(rb"\A\s*# \S[^\n]*\n(?:.*\n)??## \S", re.DOTALL)


def detect(path: Path, data: bytes) -> Format:
    """The format of `data`, the bytes of `path`: by content first, by suffix where content does not tell.

    Raises DamagedFile, EncryptedFile, UnsupportedFormat.
    """
    named = SUFFIXES.get(path.suffix.lower())
    head = data[:_SNIFFED_BYTES]
    if b"%PDF-" in head[:1024]:
        return PDF
    if head.startswith(_ZIP):
        return _inside_zip(data, named)
    if head.startswith(_OLE):
        return _compound(data)
    if head.startswith(b"{\\rtf"):
        return RTF
    if named in {DOC, XLS} and (exported := _exported(head)):
        return exported
    if named in {PDF, RTF, DOC, PPT, XLS, OUTLOOK, ARCHIVE, *_PACKAGES}:
        raise DamagedFile(f"The file is named {path.suffix} but is not {named.name} inside; get a whole copy.")
    if head.startswith(b"%!PS"):
        raise UnsupportedFormat(f"PostScript cannot be read. {_SUPPORTED}")
    if named in _BY_SUFFIX:
        return named
    return _markup(head.removeprefix(b"\xef\xbb\xbf").replace(b"\0", b"").replace(b"\r\n", b"\n"))


def unsupported() -> UnsupportedFormat:
    """The refusal of bytes that are no format known here, naming those that are."""
    return UnsupportedFormat(f"The file is binary, of an unknown format. {_SUPPORTED}")


def _markup(head: bytes) -> Format:
    """The markup of a text whose suffix says nothing: many a documentation tree calls its sources .txt."""
    if _HTML.match(head):
        return HTML
    if _MAIL.match(head):
        return MAIL
    if _RST.search(head):
        return RST
    return MARKDOWN if _MARKDOWN.match(head) else PLAIN


def _exported(head: bytes) -> Format | None:
    """What some programs write as DOC or XLS: a web page, or one with its pictures, put together as a mail is."""
    markup = _markup(head)
    return markup if markup is MAIL or (markup is HTML and _OFFICE in head) else None


def _inside_zip(data: bytes, named: Format | None) -> Format:
    try:
        with ZipFile(io.BytesIO(data)) as package:
            names = set(package.namelist())
            mimetype = package.read("mimetype")[:100] if "mimetype" in names else b""
    except (BadZipFile, NotImplementedError, OSError, ValueError) as error:
        if named in _PACKAGES or b"word/document.xml" in data:
            kind = named.name if named else DOCX.name
            raise DamagedFile(f"The {kind} file is damaged or truncated ({error}); get a whole copy.") from error
        raise UnsupportedFormat(f"The file is a damaged archive. {_SUPPORTED}") from error
    for part, format_ in _IN_PACKAGE.items():
        if part in names:
            return format_
    for beginning, format_ in _BY_MIMETYPE.items():
        if mimetype.startswith(beginning):
            return format_
    if "mimetype" in names or "[Content_Types].xml" in names:
        raise UnsupportedFormat(f"The file is an office file of another kind. {_SUPPORTED}")
    return ARCHIVE


def _compound(data: bytes) -> Format:
    """Compound files hold encrypted documents, those of Office before 2007 and mails of Outlook.

    What is embedded in them has streams of the same names, deeper inside.
    """
    try:
        with opened(data) as file:
            names = {entry[0] for entry in file.listdir() if len(entry) == 1}
    except Exception as error:  # olefile lets many a kind of error through
        raise DamagedFile(f"The file is damaged or truncated ({error}); get a whole copy.") from error
    if _ENCRYPTED_PACKAGE in names:
        raise EncryptedFile("The document is encrypted; save it without a password and ingest it again.")
    for name, format_ in _IN_COMPOUND.items():
        if name in names:
            return format_
    raise UnsupportedFormat(f"The file is an office file of another kind. {_SUPPORTED}")
