"""Recognition: the lines of a page that is a picture, by RapidOCR and the networks in its package (the extra `ocr`)."""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from statistics import median
from typing import Any

from app.domain.errors import FileTooLarge
from ingestion.loaders.pdf_layout import COLUMN_GAP, Line, without_hyphen

MOST_PAGES = 1_000
"""So many pages of a document are recognised at most; some seconds each on two cores."""
WORKING: ContextVar[Callable[[], None]] = ContextVar("working")
"""What is called after each page, which takes seconds."""
_DOTS_PER_INCH = 200
_MOST_DOTS = 2_500  # of a side
_FEWEST_DOTS = 30  # of a side; no letter is smaller
_LEAST_SCORE = 0.6
_UNEVEN = 0.25
_SAME_ROW = 0.5  # of a line's height
_FEWEST_LINES = 5  # on each side of what separates two columns of text
_COLUMN_SHARE = 0.3  # of the page's width, which half the lines of a column have at least
_MIDDLE = (0.3, 0.7)  # where two columns may meet


class Recognizer:
    """Recognises pages of one document."""

    def __init__(self) -> None:
        self._pages = 0

    def read(self, page: Any) -> list[Line]:
        """The lines of a page of PDFium, in the order of reading. Raises FileTooLarge after MOST_PAGES."""
        self._pages += 1
        if self._pages > MOST_PAGES:
            raise FileTooLarge(f"More than {MOST_PAGES:,} pages are pictures; split the file into several.")
        width, height = page.get_size()
        scale = min(_DOTS_PER_INCH / 72, _MOST_DOTS / max(width, height))
        if scale * min(width, height) < _FEWEST_DOTS:
            return []
        found = _engine()(page.render(scale=scale).to_numpy())
        WORKING.get(lambda: None)()
        if not found.txts:
            return []
        lines = [
            _line(text, [(x / scale, height - y / scale) for x, y in box])
            for text, box, score in zip(found.txts, found.boxes, found.scores, strict=True)
            if score >= _LEAST_SCORE and text.strip()
        ]
        return in_order(_of_even_height(lines), width)


def available() -> bool:
    """Whether the extra is installed."""
    return find_spec("rapidocr") is not None


def in_order(lines: Sequence[Line], width: float) -> list[Line]:
    """Lines as they are read on a page of this width: from the top, two columns of text one after the other.

    What stands beside each other in a row otherwise becomes one line, a tab between the columns of a table.
    """
    rest = sorted(lines, key=lambda line: -line.top)
    middle = _meeting(rest, width)
    ordered, band = list[Line](), list[Line]()
    for line in rest:
        if middle is not None and line.left < middle < line.right:
            ordered += _band(band, middle, width)
            ordered.append(line)
            band = []
        else:
            band.append(line)
    return ordered + _band(band, middle, width)


@cache
def _engine() -> Any:
    from rapidocr import RapidOCR  # noqa: PLC0415 - an extra, and a second to import

    return RapidOCR(params={"Global.log_level": "error"})


def _line(text: str, corners: Sequence[tuple[float, float]]) -> Line:
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    sideways = max(ys) - min(ys) > 2 * (max(xs) - min(xs)) and len(text) > 2
    text, hyphenated = without_hyphen(text)
    return Line(" ".join(text.split()), min(xs), max(xs), min(ys), max(ys), hyphenated, sideways=sideways)


def _of_even_height(lines: Sequence[Line]) -> list[Line]:
    """Lines of about the usual height with just that: how high a line is found to be depends on its letters."""
    usual = median([line.height for line in lines] or [0.0])
    return [
        replace(line, top=line.bottom + usual) if abs(line.height - usual) < _UNEVEN * usual else line for line in lines
    ]


def _meeting(lines: Sequence[Line], width: float) -> float | None:
    """Where two columns of text meet: the place in the middle that the fewest lines cross, if there are two columns."""
    low, high = (share * width for share in _MIDDLE)
    places = [line.right + 1 for line in lines if low < line.right < high]
    crossed = {place: sum(line.left < place < line.right for line in lines) for place in places}
    place = min(crossed, key=lambda one: crossed[one], default=None)
    if place is None or crossed[place] > len(lines) / 4:
        return None
    sides = [[line for line in lines if line.right <= place], [line for line in lines if line.left >= place]]
    return place if all(_is_column(side, width) for side in sides) else None


def _is_column(lines: Sequence[Line], width: float) -> bool:
    return len(lines) >= _FEWEST_LINES and median(line.right - line.left for line in lines) > _COLUMN_SHARE * width


def _band(lines: Sequence[Line], middle: float | None, width: float) -> list[Line]:
    """The lines between two that cross the middle: the left column, then the right one."""
    if middle is None:
        return _rows(lines)
    left, right = [line for line in lines if line.right <= middle], [line for line in lines if line.right > middle]
    return _rows(left) + _rows(right)


def _rows(lines: Sequence[Line]) -> list[Line]:
    """Lines from top to bottom, those of a row as one."""
    rows = list[list[Line]]()
    for line in sorted(lines, key=lambda line: -(line.top + line.bottom)):
        row = rows[-1] if rows else []
        if row and abs(row[0].top + row[0].bottom - line.top - line.bottom) / 2 < _SAME_ROW * line.height:
            row.append(line)
        else:
            rows.append([line])
    return [_joined(sorted(row, key=lambda line: line.left)) for row in rows]


def _joined(row: Sequence[Line]) -> Line:
    text, last = row[0].text, row[0]
    for line in row[1:]:
        text += ("\t" if line.left - last.right > COLUMN_GAP * line.height else " ") + line.text
        last = line
    return Line(
        text,
        row[0].left,
        max(line.right for line in row),
        min(line.bottom for line in row),
        max(line.top for line in row),
        last.hyphenated,
        sideways=len(row) == 1 and last.sideways,
    )
