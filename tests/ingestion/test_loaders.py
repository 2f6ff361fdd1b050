"""Loaders: each format gives readable text with its structure; every file that cannot be read says why."""

import io
import zipfile
from pathlib import Path

import docx
import pytest
from fpdf import FPDF
from pypdf import PdfReader, PdfWriter

from app.domain.document import ParsedDocument
from app.domain.errors import DamagedFile, EmptyFile, EncryptedFile, UnreadableFile, UnsupportedFormat
from ingestion.loaders.dispatch import load, supported

HTML = """<!doctype html><html><head><title>The mill</title><style>p{}</style><script>alert(1)</script></head><body>
<nav><a href="/">Home</a></nav><main><h1>The mill</h1><p>It grinds <b>rye</b> and wheat.</p>
<h2>Hours</h2><ul><li>Monday</li><li>Tuesday<ol><li>morning</li></ol></li></ul>
<table><tr><th>Grain</th><th>Price</th></tr><tr><td>Rye</td><td>3</td></tr></table>
<pre><code>grind --fine
  --slow</code></pre><blockquote>Slow is smooth.</blockquote><p>See <a href="https://example.org">more</a>.</p></main>
<footer>imprint</footer></body></html>"""


def parse(name: str, data: bytes | str) -> ParsedDocument:
    document = load(Path(name), data.encode() if isinstance(data, str) else data)
    for heading in document.headings:
        assert 0 <= heading.char_start < len(document.text)
    assert "\x00" not in document.text
    assert "\r" not in document.text
    return document


def pdf(*pages: str, title: str | None = None) -> bytes:
    made = FPDF()
    made.set_font("helvetica", size=12)
    if title:
        made.set_title(title)
    for page in pages:
        made.add_page()
        if page:
            made.multi_cell(0, 6, page)
    return bytes(made.output())


def word_document() -> bytes:
    made = docx.Document()
    made.add_heading("The orchard", 1)
    made.add_paragraph("It has forty apple trees.")
    made.add_heading("Harvest", 2)
    made.add_paragraph("Pick them in October.", style="List Bullet")
    table = made.add_table(rows=2, cols=2)
    for row, values in zip(table.rows, (("Sort", "Trees"), ("Gala", "12")), strict=True):
        for cell, value in zip(row.cells, values, strict=True):
            cell.text = value
    out = io.BytesIO()
    made.save(out)
    return out.getvalue()


def test_html_keeps_the_content_and_its_structure_only() -> None:
    document = parse("mill.html", HTML)
    assert document.title == "The mill"
    assert [(h.level, h.title) for h in document.headings] == [(1, "The mill"), (2, "Hours")]
    for text in ("rye", "and wheat", "Monday", "morning", "Rye", "grind --fine\n  --slow", "Slow is smooth."):
        assert text in document.text
    for junk in ("alert", "p{}", "Home", "imprint", "<"):
        assert junk not in document.text
    assert "| Grain | Price |" in document.text


@pytest.mark.parametrize("html", ["<p>Only a paragraph.", "<div><p>Broken <b>markup</div>", "<body>Bare text"])
def test_html_of_any_shape_is_read(html: str) -> None:
    assert parse("x.html", html).text.strip()


def test_word_documents_have_headings_lists_and_tables() -> None:
    document = parse("orchard.docx", word_document())
    assert [(h.level, h.title) for h in document.headings] == [(1, "The orchard"), (2, "Harvest")]
    for text in ("forty apple trees", "Pick them in October.", "Gala"):
        assert text in document.text


def test_pdfs_have_pages_and_their_title() -> None:
    document = parse(
        "report.pdf", pdf("The first page speaks of owls.", "The second page speaks of foxes.", title="Owls")
    )
    assert len(document.page_starts) == 2
    assert "owls" in document.text[: document.page_starts[1]]
    assert "foxes" in document.text[document.page_starts[1] :]
    assert document.media_type == "application/pdf"


def test_content_decides_not_the_name() -> None:
    assert parse("wrong.txt", pdf("A page about herons.")).media_type == "application/pdf"
    assert parse("wrong.bin", word_document()).headings
    assert parse("noname", "Plain words without a suffix.").text.startswith("Plain words")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings_are_detected(encoding: str) -> None:
    text = "Die Fähre fährt täglich über den Fluß, außer bei stürmischem Wetter und größerer Kälte im Spätwinter."
    assert parse("x.txt", text.encode(encoding)).text.strip() == text


def test_line_ends_are_normalised() -> None:
    assert parse("x.md", b"# A\r\n\r\nOne.\rTwo.\r\n").text == "# A\n\nOne.\nTwo.\n"


def test_front_matter_is_metadata() -> None:
    document = parse("x.md", "---\ntitle: Given\nseason: winter\n---\n\n# Heading\n\nText.\n")
    assert document.metadata["season"] == "winter"
    assert "season" not in document.text


def encrypted_pdf() -> bytes:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf("secret"))))
    writer.encrypt("password", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def zip_of(**members: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "error"),
    [
        ("empty.md", b"", EmptyFile),
        ("blank.txt", b" \n\t\n", EmptyFile),
        ("empty.html", b"<html><body></body></html>", EmptyFile),
        ("scan.pdf", pdf("", ""), EmptyFile),
        ("locked.pdf", encrypted_pdf(), EncryptedFile),
        ("cut.pdf", pdf("text")[:60], DamagedFile),
        ("cut.docx", word_document()[:2000], UnreadableFile),
        ("archive.zip", zip_of(a="b"), UnsupportedFormat),
        ("noise.bin", bytes(range(256)) * 40, UnsupportedFormat),
    ],
)
def test_what_cannot_be_read_says_why(name: str, data: bytes, error: type[UnreadableFile]) -> None:
    with pytest.raises(error) as raised:
        load(Path(name), data)
    assert len(raised.value.message) > 20


def test_folders_are_searched_for_supported_names() -> None:
    assert all(supported(Path(name)) for name in ("a.md", "a.rst", "a.txt", "a.html", "a.pdf", "a.docx", "A.MD"))
    assert not any(supported(Path(name)) for name in ("a.png", "a.exe", "a"))
