"""The sandbox: limits of time, memory and text; a crash costs one file."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from fpdf import FPDF

from app.domain.errors import DamagedFile, EmptyFile, EncryptedFile, FileTooLarge, UnsupportedFormat
from ingestion.loaders.dispatch import load
from ingestion.sandbox import Sandbox
from ingestion.sandbox_worker import send
from tests.fixtures.compound import compound_file
from tests.ingestion.test_office_loaders import workbook

WORKBOOK = workbook([["Ship", "Seats"], ["Ilse", 120]])


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.xlsx", WORKBOOK),
        ("a.html", b"<title>Tides</title><h1>High water</h1><p>At nine.</p>"),
        ("a.md", b"---\ntags: [a, 1, true]\n---\n# Tides\n\nAt nine."),
    ],
)
def test_documents_come_back_as_they_were_read(sandbox: Sandbox, name: str, data: bytes) -> None:
    assert sandbox.load(Path(name), data) == load(Path(name), data)


@pytest.mark.parametrize(
    ("name", "data", "error"),
    [
        ("a.pdf", b"%PDF-1.7 nothing", DamagedFile),
        ("a.html", b"<html></html>", EmptyFile),
        ("a.docx", compound_file({"EncryptedPackage": b"x"}), EncryptedFile),
        ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), UnsupportedFormat),
    ],
)
def test_refusals_are_those_of_the_loaders(sandbox: Sandbox, name: str, data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error) as here:
        load(Path(name), data)
    with pytest.raises(error, match=str(here.value)[:30].replace("(", r"\(")):
        sandbox.load(Path(name), data)


def test_texts_of_our_own_start_no_process() -> None:
    with Sandbox() as sandbox:
        sandbox.load(Path("a.md"), b"# Tides")
        assert sandbox._process is None


def test_a_crash_costs_one_file() -> None:
    with Sandbox() as sandbox:
        sandbox.load(Path("a.xlsx"), WORKBOOK)
        process = sandbox._process
        assert process is not None
        threading.Timer(0.02, process.kill).start()
        with pytest.raises(DamagedFile, match="crashed its parser"):  # noqa: PT012 - whichever it hits
            for _ in range(1000):
                sandbox.load(Path("a.xlsx"), WORKBOOK)
        assert "Ilse" in sandbox.load(Path("a.xlsx"), WORKBOOK).text
    assert sandbox._process is None


def test_a_file_that_takes_too_long_is_refused() -> None:
    with Sandbox(timeout_s=0.2) as sandbox:
        os.kill(sandbox._started().pid, signal.SIGSTOP)  # a parser that never ends
        with pytest.raises(FileTooLarge, match=r"longer than 0\.2 s"):
            sandbox.load(Path("a.xlsx"), WORKBOOK)
        assert sandbox._process is None


def test_a_file_that_takes_too_much_memory_is_refused() -> None:
    page = b"<html><body>" + b"<p>x<b>y</b>" * 3_000_000  # 36 MB, of which a tree takes more than ten times as much
    with (
        Sandbox(memory_bytes=1024**2) as sandbox,
        pytest.raises((FileTooLarge, DamagedFile), match=r"memory|crashed|cannot be read"),
    ):
        sandbox.load(Path("a.html"), page)


def test_more_text_than_is_allowed_is_refused() -> None:
    with Sandbox(most_chars=5) as sandbox, pytest.raises(FileTooLarge, match="more than 5 characters"):
        sandbox.load(Path("a.xlsx"), WORKBOOK)


def test_ten_thousand_pages_are_read() -> None:
    pdf = FPDF()
    pdf.set_font("helvetica", size=12)
    for number in range(10_000):
        pdf.add_page()
        pdf.cell(text=f"Page number {number}")
    with Sandbox() as sandbox:
        document = sandbox.load(Path("long.pdf"), bytes(pdf.output()))
    assert len(document.page_starts) == 10_000
    assert document.text.rstrip().endswith("Page number 9999")


def test_a_process_whose_parent_was_killed_ends_without_a_word() -> None:
    command = [sys.executable, "-m", "ingestion.sandbox_worker", str(1 << 30), "1000"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # as the system does for a parent that is gone
        send(process.stdin, msgspec.msgpack.encode(("load", "a.md", b"# Tides")))
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0
