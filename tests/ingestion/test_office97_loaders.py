"""Loaders of the formats of Office 97 to 2003, and of OpenDocument's slides and sheets; the files are made here."""

import random
import struct
from pathlib import Path

import pytest

from app.domain.errors import DamagedFile, EncryptedFile, UnreadableFile, UnsupportedFormat
from ingestion.loaders.dispatch import load
from tests.fixtures.compound import compound_file
from tests.fixtures.office97 import IN_TABLE, ROW_END, Paragraph, Slide, listed, presentation, word_document
from tests.ingestion.test_office_loaders import NAMESPACES, packed, read

TIDES = (
    Paragraph("Tides\r", style=1),
    Paragraph("Café at the quay.\x0bOpen\x1eend, so\x1fft.\r"),
    Paragraph('See \x13 HYPERLINK "https://example.org" \x14the table\x15, page \x13 PAGE \x15.\r'),
    Paragraph('\x13 TOC \\o "1-3" \x14Tides\t1\rWhen\t2\r\x15'),
    Paragraph("Twice a day\r", changes=listed(0)),
    Paragraph("Later each day\r", changes=listed(1)),
    Paragraph("When\r", changes=struct.pack("<HB", 0x2640, 1)),
    Paragraph("Day\x07", changes=IN_TABLE),
    Paragraph("High\r", changes=IN_TABLE),
    Paragraph("water\x07", changes=IN_TABLE),
    Paragraph("\x07", changes=ROW_END),
    Paragraph("Mon\x07", changes=IN_TABLE),
    Paragraph("\x07", changes=IN_TABLE),
    Paragraph("\x07", changes=ROW_END),
    Paragraph("\uf0b7 Neap 😀 tide\x02.\r"),
)
DECK = (
    Slide("High\x0bwater", "Twice a day\rLater each day", shapes=("Café",), notes="Mention the moon."),
    Slide("", shapes=("潮",)),
)


def test_doc() -> None:
    document = read("a.doc", word_document(TIDES, "\x02 Or flood.\r"))
    assert document.text == (
        "# Tides\n\nCafé at the quay.\nOpen-end, soft.\n\nSee the table, page .\n\n"
        "- Twice a day\n  - Later each day\n\n## When\n\n| Day | High water |\n| --- | --- |\n| Mon |  |\n\n"
        "Neap 😀 tide.\n\nOr flood.\n"
    )
    assert (document.title, document.media_type) == ("Tides", "application/msword")


def test_what_is_deleted_with_changes_tracked_is_left_out() -> None:
    assert read("a.doc", word_document(TIDES[:4], deleted="at the quay")).text.startswith("# Tides\n\nCafé .\nOpen")


def test_a_workbook_in_a_document_does_not_make_it_one() -> None:
    document = read("a.doc", word_document(TIDES[:2], more={"ObjectPool": {"_1": {"Workbook": b"x"}}}))
    assert document.text.startswith("# Tides")


@pytest.mark.parametrize(
    ("data", "error", "advice"),
    [
        (word_document(TIDES, flags=0x0100), EncryptedFile, "password"),
        (compound_file({"WordDocument": b"\xdc\xa5" + bytes(2000)}), UnsupportedFormat, "before 97"),
        (compound_file({"WordDocument": b"\xec\xa5" + bytes(2000)}), DamagedFile, "0Table"),
        (compound_file({"WordDocument": b"\xec\xa5" + bytes(2000), "0Table": b"x"}), DamagedFile, "table of its text"),
        (presentation(DECK, encrypted=True), EncryptedFile, "password"),
        (
            compound_file({"PowerPoint Document": bytes(99), "Current User": bytes(99)}),
            DamagedFile,
            "list of its parts",
        ),
        (compound_file({"PowerPoint Document": bytes(99)}), DamagedFile, "Current User"),
    ],
    ids=["locked", "Word 95", "no table", "no pieces", "locked slides", "no parts", "no user"],
)
def test_a_refusal_says_what_to_do(data: bytes, error: type[UnreadableFile], advice: str) -> None:
    with pytest.raises(error, match=advice):
        load(Path("a"), data)


@pytest.mark.parametrize("whole", [word_document(TIDES), presentation(DECK)], ids=["doc", "ppt"])
def test_a_damaged_file_is_read_or_refused(whole: bytes) -> None:
    chance = random.Random(1)
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole[: chance.choice((len(whole), chance.randrange(600, len(whole))))])
        for _ in range(chance.randrange(1, 40)):
            damaged[chance.randrange(8, len(damaged))] = chance.randrange(256)
        try:
            load(Path("a"), bytes(damaged))
        except UnreadableFile:
            refused += 1
    assert 0 < refused < 300


def test_ppt() -> None:
    document = read("a.ppt", presentation(DECK))
    assert document.text == (
        "## High water\n\n- Twice a day\n- Later each day\n\nCafé\n\nNotes: Mention the moon.\n\n## Slide 2\n\n潮\n"
    )
    assert document.page_starts == (0, document.text.index("## Slide 2"))


def open_document(kind: str, body: str) -> bytes:
    spaces = (
        NAMESPACES + ' xmlns:draw="urn:oasis:names:tc:opendocument:xmlns:drawing:1.0"'
        ' xmlns:presentation="urn:oasis:names:tc:opendocument:xmlns:presentation:1.0"'
    )
    content = (
        f"<office:document-content {spaces}><office:body><office:{kind}>{body}</office:{kind}></office:body>"
        "</office:document-content>"
    )
    return packed({"mimetype": f"application/vnd.oasis.opendocument.{kind}", "content.xml": content})


def test_odp() -> None:
    frame = '<draw:frame presentation:class="{}"><draw:text-box><text:p>{}</text:p></draw:text-box></draw:frame>'
    first = frame.format("title", "High water") + frame.format("outline", "Twice a day") + frame.format("footer", "Ada")
    notes = f"<presentation:notes>{frame.format('notes', 'Mention the moon.')}</presentation:notes>"
    box = "<draw:custom-shape><text:p>Later each day</text:p></draw:custom-shape>"
    slides = f"<draw:page>{first}{notes}</draw:page><draw:page>{box}</draw:page>"
    document = read("a.odp", open_document("presentation", slides))
    assert document.text == (
        "## High water\n\nTwice a day\n\nNotes: Mention the moon.\n\n## Slide 2\n\nLater each day\n"
    )
    assert len(document.page_starts) == 2


def test_ods() -> None:
    def cell(text: str, times: int = 1) -> str:
        times_said = f'table:number-columns-repeated="{times}"' if times > 1 else ""
        return f"<table:table-cell {times_said}><text:p>{text}</text:p></table:table-cell>"

    empty = '<table:table-cell table:number-columns-repeated="16000"/>'
    rows = (
        f"<table:table-row>{cell('Ship')}{cell('Seats')}{cell('Berths')}{empty}</table:table-row>"
        '<table:table-row table:number-rows-repeated="2">'
        f"{cell('Ilse')}{cell('120', 2)}{empty}</table:table-row>"
        f'<table:table-row table:number-rows-repeated="1048000">{empty}</table:table-row>'
    )
    sheets = f'<table:table table:name="Fleet">{rows}</table:table><table:table table:name="Empty"/>'
    document = read("a.ods", open_document("spreadsheet", sheets))
    assert document.text == (
        "## Fleet\n\n| Ship | Seats | Berths |\n| --- | --- | --- |\n| Ilse | 120 | 120 |\n| Ilse | 120 | 120 |\n"
    )
