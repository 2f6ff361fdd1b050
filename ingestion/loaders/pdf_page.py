"""PDF page: its lines of text with their places, as PDFium sees them."""

import ctypes
from typing import Any

import pypdfium2
from pypdfium2 import raw

from app.domain.errors import DamagedFile
from ingestion.loaders.characters import clean
from ingestion.loaders.pdf_layout import COLUMN_GAP, Line, without_hyphen
from ingestion.loaders.recognition import Recognizer

_HYPHEN_AT_LINE_END = 0x02
_LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"})
_WIDE_GAP = 2.0  # of the line's height


def read_page(document: Any, number: int, recognizer: Recognizer | None) -> list[Line]:
    """The lines of a page (counted from 0) in the file's order; without any, those that the recognizer sees on it.

    Raises DamagedFile, FileTooLarge.
    """
    try:
        page = document[number]
        text_page = page.get_textpage()
    except pypdfium2.PdfiumError as error:
        raise DamagedFile(f"Page {number + 1} of the PDF is damaged; get a whole copy and ingest it again.") from error
    try:
        lines = _read_lines(text_page)
        if not lines and recognizer is not None and raw.FPDFPage_CountObjects(page):
            return recognizer.read(page)
        return lines
    finally:
        text_page.close()
        page.close()


def _read_lines(text_page: Any) -> list[Line]:
    lines: list[Line | None] = []
    characters: list[tuple[int, str]] = []  # index in the page
    for index in range(raw.FPDFText_CountChars(text_page)):
        code = raw.FPDFText_GetUnicode(text_page, index)
        hyphen = code == _HYPHEN_AT_LINE_END and raw.FPDFText_IsHyphen(text_page, index) == 1
        if hyphen or code in (0x0A, 0x0D):
            lines.append(_line(text_page, characters, hyphenated=hyphen))
            characters = []
        elif code:
            characters.append((index, chr(code)))
    lines.append(_line(text_page, characters, hyphenated=False))
    return [line for line in lines if line is not None]


def _line(text_page: Any, characters: list[tuple[int, str]], *, hyphenated: bool) -> Line | None:
    """One line, or None when nothing in it can be seen."""
    visible = [index for index, character in characters if not character.isspace()]
    if not visible:
        return None
    samples = (visible[0], visible[len(visible) // 2], visible[-1])  # a box of each character would take too long
    boxes = [_box(text_page, index) for index in samples]
    fonts = {_font(text_page, index) for index in samples}
    left, right = min(box.left for box in boxes), max(box.right for box in boxes)
    extent = max(box.top for box in boxes) - min(box.bottom for box in boxes)
    tallest = max(boxes, key=lambda box: box.top - box.bottom)  # not a raised or lowered one
    text = _text(text_page, characters, tallest.top - tallest.bottom)
    text, ends_in_hyphen = without_hyphen(text)
    text = clean(text)
    if not text:
        return None
    return Line(
        text=text,
        left=left,
        right=right,
        bottom=tallest.bottom,
        top=tallest.top,
        hyphenated=hyphenated or ends_in_hyphen,
        font=fonts.pop() if len(fonts) == 1 else "",
        sideways=extent > 2 * (right - left),
    )


def _text(text_page: Any, characters: list[tuple[int, str]], height: float) -> str:
    """The words of a line, one space between them, a tab where a gap separates columns."""
    words: list[str] = []
    gaps: list[float] = []  # before each word, in points
    before, spaced = -1, True
    for index, character in characters:
        if character.isspace():
            spaced = True
            continue
        if spaced:
            gaps.append(_box(text_page, index).left - _box(text_page, before).right if words else 0.0)
            words.append("")
        words[-1] += character
        before, spaced = index, False
    narrowest = min(gaps[1:], default=0.0)
    text = words[0]
    for word, gap, last in zip(words[1:], gaps[1:], words, strict=False):
        # justified text stretches all spaces of a line, most of all those after punctuation
        stretched = gap < 2 * narrowest or last[-1] in ".,;:?!)"
        text += ("\t" if gap > (_WIDE_GAP if stretched else COLUMN_GAP) * height else " ") + word
    # PDFium counts in UTF-16 units: put the halves of a character together
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").translate(_LIGATURES)


def _box(text_page: Any, index: int) -> Any:
    """A character's box by its font's ascent and descent, in points, y upwards."""
    box = raw.FS_RECTF()
    raw.FPDFText_GetLooseCharBox(text_page, index, ctypes.byref(box))
    return box


def _font(text_page: Any, index: int) -> str:
    name, flags = ctypes.create_string_buffer(128), ctypes.c_int()
    raw.FPDFText_GetFontInfo(text_page, index, name, len(name), ctypes.byref(flags))
    return name.value.decode("utf-8", "replace")
