"""Recognition: pages that are pictures; which lines are read one after the other, and which stand beside each other."""

import io
import sys
from pathlib import Path

import pypdfium2
import pytest
from fpdf import FPDF

from app.domain.errors import EmptyFile, FileTooLarge
from ingestion.loaders import pdf, recognition
from ingestion.loaders.dispatch import load
from ingestion.loaders.pdf_layout import Line
from ingestion.loaders.recognition import in_order
from ingestion.sandbox import Sandbox


def printed(*pages: list[tuple[int, str]]) -> FPDF:
    """A PDF with these lines, each after the size of its letters."""
    made = FPDF()
    for page in pages:
        made.add_page()
        for size, text in page:
            made.set_font("Helvetica", size=size)
            made.cell(0, size * 0.6, text, new_x="LMARGIN", new_y="NEXT")
    return made


def scanned(made: FPDF) -> FPDF:
    """The same pages as pictures."""
    scan = FPDF()
    with pypdfium2.PdfDocument(bytes(made.output())) as document:
        for page in document:
            picture = io.BytesIO()
            page.render(scale=2).to_pil().save(picture, "PNG")
            scan.add_page()
            scan.image(picture, x=0, y=0, w=scan.w)
    return scan


FERRY = [(24, "Holm Island ferry"), (12, "The ferry leaves at nine in the morning and"), (12, "comes back at six.")]


def test_a_scan_is_read_within_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    made = scanned(printed(FERRY, [(12, "Dogs travel free of charge.")]))
    made.add_page()
    made.set_font("Helvetica", size=12)
    made.cell(text="This page has text of its own.")
    with Sandbox() as sandbox:
        document = sandbox.load(Path("a.pdf"), bytes(made.output()))
    assert document.text == (
        "Holm Island ferry\n\nThe ferry leaves at nine in the morning and comes back at six.\n\n"
        "Dogs travel free of charge.\n\nThis page has text of its own.\n"
    )
    assert document.page_starts[1] == document.text.index("Dogs")
    monkeypatch.setattr(recognition, "MOST_PAGES", 1)
    with pytest.raises(FileTooLarge, match="split the file"):
        load(Path("a.pdf"), bytes(made.output()))


def test_each_page_has_the_time_of_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(
        "import sys, time, msgspec\n"
        "from ingestion.sandbox_worker import Answer, parse, receive, send\n"
        "what, name, data = msgspec.msgpack.decode(receive(sys.stdin.buffer))\n"
        "for _ in range(4):\n"
        "    time.sleep(0.7)\n"
        "    send(sys.stdout.buffer, msgspec.msgpack.encode(Answer(working=True)))\n"
        "send(sys.stdout.buffer, msgspec.msgpack.encode(parse(what, name, data, 1000)))\n"
    )
    with Sandbox(timeout_s=2) as sandbox:
        python = tmp_path / "python"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{worker}"\n')
        python.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(python))
        assert sandbox.load(Path("a.html"), b"<h1>Tides</h1><p>At nine.</p>").text == "# Tides\n\nAt nine.\n"


def test_without_the_extra_a_scan_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "available", lambda: False)
    with pytest.raises(EmptyFile, match="extra `ocr`"):
        load(Path("a.pdf"), bytes(scanned(printed(FERRY)).output()))


def line(text: str, left: float, right: float, top: float) -> Line:
    return Line(text, left, right, top - 10, top)


def test_columns_of_text_are_read_one_after_the_other() -> None:
    left = [line(f"left {n}", 50, 280, 700 - 12 * n) for n in range(6)]
    right = [line(f"right {n}", 310, 540, 700 - 12 * n) for n in range(6)]
    title, foot = line("A title over both", 100, 500, 740), line("A note under both", 60, 530, 500)
    order = [one.text for one in in_order([foot, *right, *left, title], 600)]
    columns = [one.text for one in (*left, *right)]
    assert order == [title.text, *columns, foot.text]


def test_cells_of_a_row_are_one_line() -> None:
    cells = [line(text, left, left + 60, 700 - 14 * row) for row in range(7) for left, text in ((50, "a"), (320, "b"))]
    near = line("c", 383, 400, 701)
    assert [one.text for one in in_order([near, *cells], 600)] == ["a\tb c", *["a\tb"] * 6]
