"""Formats: content decides what a file is; what cannot be read is refused with what to do about it."""

from pathlib import Path

import pytest
from llama_index.readers.file import FlatReader

from app.domain.errors import DamagedFile, EncryptedFile, UnreadableFile, UnsupportedFormat
from ingestion.loaders.dispatch import load
from ingestion.loaders.formats import (
    CODE,
    CSV,
    DOCX,
    FORMATS,
    HTML,
    MAIL,
    MARKDOWN,
    PDF,
    PLAIN,
    RST,
    RTF,
    Format,
    detect,
)
from ingestion.loaders.plugged import PluggedReader
from ingestion.loaders.reader import StructureReader
from tests.fixtures.compound import compound_file

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.txt", b"%PDF-1.7 and so on", PDF),
        ("a.txt", b"\n\n%PDF-1.7 behind some junk", PDF),
        ("a", b"<!-- saved --><!DOCTYPE html><p>x", HTML),
        ("a.txt", b"\xef\xbb\xbf<?xml version='1.0'?>\n<html xmlns='x'>", HTML),
        ("a.txt", "<html><p>x".encode("utf-16-le"), HTML),
        ("a.md", b"<html> is a tag", MARKDOWN),
        ("a.txt", b"Title\n=====\n\nText.", RST),
        ("a.txt", b"Text.\n\n.. note::\n\n    Note.", RST),
        ("a.txt", b"See :ref:`there`.", RST),
        ("a.txt", b"# Title\n\nText.\n\n## Part\n\nText.", MARKDOWN),
        ("a.txt", b"# a comment\nkey = value\n", PLAIN),
        ("a.txt", b"Total\n\n1 2\n---\n", PLAIN),
        ("a.unknown", b"Just words.", PLAIN),
        ("A.MD", b"Just words.", MARKDOWN),
        ("a.rst", b"Just words.", RST),
        ("a.txt", b"{\\rtf1 Words}", RTF),
        ("a", b"Received: from here\n by there\nSubject: Words\n\nText", MAIL),
        ("a.txt", b"Subject: only one\n\nText", PLAIN),
        ("a.doc", b"<html xmlns:w='urn:schemas-microsoft-com:office:word'><p>x", HTML),
        ("a.doc", b"Date: now\nMIME-Version: 1.0\nSubject: Exported\n\nText", MAIL),
        ("a.csv", b"a,b\n1,2\n", CSV),
        ("a.py", b"def f(): ...", CODE),
    ],
)
def test_content_first_then_the_suffix(name: str, data: bytes, expected: Format) -> None:
    assert detect(Path(name), data) is expected


@pytest.mark.parametrize(
    ("name", "data", "error", "advice"),
    [
        ("a.doc", OLE, DamagedFile, "whole copy"),
        ("a.vsd", compound_file({"VisioDocument": b"x"}), UnsupportedFormat, "office file of another kind"),
        ("a.docx", compound_file({"EncryptedPackage": b"x"}), EncryptedFile, "without a password"),
        ("a.doc", b"<html><p>Not found</p>", DamagedFile, "not DOC inside"),
        ("a.pdf", b"<p>Not found</p>", DamagedFile, "not PDF inside"),
        ("a.docx", b"Not found", DamagedFile, "not DOCX inside"),
        ("a.docx", b"PK\x03\x04 and nothing more", DamagedFile, "whole copy"),
        ("a.zip", b"PK\x03\x04 and nothing more", UnsupportedFormat, "damaged archive"),
        ("a.ps", b"%!PS-Adobe-3.0", UnsupportedFormat, "PostScript"),
        ("a.xlsx", b"Not found", DamagedFile, "not XLSX inside"),
        ("a.epub", b"PK\x03\x04 and nothing more", DamagedFile, "EPUB file is damaged"),
        ("a.json", b"{", DamagedFile, "not JSON"),
        ("a.js", b"x" * 6000, DamagedFile, "minified"),
        ("a.jsonl", b'{"a": 1}\n{', DamagedFile, "Line 2"),
        ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), UnsupportedFormat, "binary"),
    ],
)
def test_a_refusal_says_what_to_do(name: str, data: bytes, error: type[UnreadableFile], advice: str) -> None:
    with pytest.raises(error, match=advice) as raised:
        load(Path(name), data)
    if error is UnsupportedFormat:
        assert all(format_.name in raised.value.message for format_ in FORMATS)


def test_a_hostile_beginning_does_not_hold_up() -> None:
    assert detect(Path("a.txt"), b"<!---->" * 20_000 + b"x") is PLAIN


class Broken(StructureReader):
    """A parser that trips over its input."""

    def parse(self, name: str, data: bytes) -> None:  # type: ignore[override]
        raise KeyError("no such node")


def test_what_a_library_raises_becomes_a_damaged_file_with_its_reason() -> None:
    with pytest.raises(DamagedFile, match="no such node") as raised:
        load(Path("a.txt"), b"x", reader=Broken())
    assert isinstance(raised.value.__cause__, KeyError)


def test_any_reader_of_llama_index_can_be_plugged_in() -> None:
    document = load(Path("a.odd"), b"# Title\n\nText.\n", reader=PluggedReader(FlatReader(), "text/odd"))
    assert document.text == "# Title\n\nText.\n"
    assert (document.title, document.media_type) == ("Title", "text/odd")
    assert [heading.char_start for heading in document.headings] == [0]


def test_our_readers_can_be_lent_to_llama_index(tmp_path: Path) -> None:
    from ingestion.loaders.lent import LentReader
    from ingestion.loaders.markdown import MarkdownReader

    file = tmp_path / "a.md"
    file.write_text("# Title\n\nText.\n")
    [document] = LentReader(MarkdownReader()).load_data(file, extra_info={"owner": "me"})
    assert document.text == "# Title\n\nText.\n"
    assert document.metadata == {"file_name": "a.md", "title": "Title", "media_type": "text/markdown", "owner": "me"}


@pytest.mark.parametrize("format_", [MARKDOWN, RST, PLAIN, HTML, PDF, DOCX], ids=lambda format_: format_.name)
def test_every_format_refuses_noise(format_: Format) -> None:
    noise = bytes((i * 37 + i // 7) % 256 for i in range(5000))
    with pytest.raises(UnreadableFile):
        load(Path(f"a{format_.suffixes[0]}"), noise)
