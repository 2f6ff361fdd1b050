"""PDF headings: where the sections of a laid out document begin."""

import re
from collections import Counter
from itertools import takewhile
from typing import NamedTuple

from app.domain.document import Heading
from ingestion.loaders.pdf_layout import Layout, Line

_NUMBERING = re.compile(r"\A(?:[A-Z]\d*|[IVXL]+|\d+)?(?:\.\d+)*[.)]?\s+(?=\S)")
_NUMBERED = re.compile(r"\A(?P<number>(?:\d{1,2}|[A-Z])(?:\.\d{1,2}){0,3})\.?\s+(?=\w*[^\W\d_])(?P<title>\S.{1,150})\Z")
_TALLEST = 3  # lines of a heading
_FEWEST = 3  # numbered headings; fewer may be items of a list
_MOST_MISSED = 1  # sections between two that were found


class Entry(NamedTuple):
    """An entry of a PDF's outline: its level (1 is the highest) and the index of the page that it points to."""

    level: int
    title: str
    page: int


def locate(outline: list[Entry], layout: Layout) -> tuple[Heading, ...]:
    """Headings for the entries whose title stands in lines of its own on the page that they point to."""
    headings: list[Heading] = []
    for level, title, page in outline:
        placed = layout.lines[page] if page < len(layout.lines) else ()
        after = headings[-1].char_start if headings else -1
        for index, (offset, _) in enumerate(placed):
            if offset > after and _is_title(title, [line.text for _, line in placed[index : index + _TALLEST]]):
                headings.append(Heading(level, title, offset))
                break
    return tuple(headings)


def numbered(layout: Layout) -> tuple[Heading, ...]:
    """Headings for lines that are numbered in sequence (1, 1.1, 2, A) and set unlike the running text.

    For documents without an outline. Lines that break the sequence are items of lists or rows of tables.
    """
    lines = [placed for page in layout.lines for placed in page]
    fonts = Counter[str]()
    for _, line in lines:
        fonts[line.font] += len(line.text)
    body = fonts.most_common(1)[0][0] if fonts else ""
    headings: list[Heading] = []
    last: tuple[int, ...] = ()
    styles: dict[int, tuple[str, int]] = {}  # by level: all sections of a level look alike
    for index, (offset, line) in enumerate(lines):
        opens = offset == 0 or layout.text[offset - 1] == "\n"
        if not opens or line.font in {"", body} or not (match := _NUMBERED.match(line.text)):
            continue
        number = _number(match["number"])
        style = line.font, round(line.height)
        if _follows(last, number) and styles.setdefault(len(number), style) == style:
            last = number
            rest = _continuation(lines[index + 1 : index + _TALLEST], line, layout.text)
            title = " ".join(" ".join([line.text, *rest]).split())
            headings.append(Heading(len(number), title, offset))
    return tuple(headings) if len(headings) >= _FEWEST else ()


def _is_title(title: str, lines: list[str]) -> bool:
    wanted = _letters(title)
    return bool(wanted) and any(_letters(" ".join(lines[: count + 1])) == wanted for count in range(len(lines)))


def _letters(title: str) -> str:
    """A title for comparison: without its number, case and punctuation."""
    return "".join(filter(str.isalnum, _NUMBERING.sub("", title.strip()).casefold()))


def _number(text: str) -> tuple[int, ...]:
    """A section's number; those of appendices come after all others."""
    return tuple(int(part) if part.isdigit() else 100 + ord(part) - ord("A") for part in text.split("."))


def _follows(last: tuple[int, ...], number: tuple[int, ...]) -> bool:
    """Whether a section may come next: a first one below the last, or one further at its level or above."""
    parent, ordinal = number[:-1], number[-1]
    if parent == last or number == (100,):
        return ordinal in {1, 100}
    before = last[len(parent) : len(parent) + 1]
    return parent == last[: len(parent)] and bool(before) and 1 <= ordinal - before[0] <= 1 + _MOST_MISSED


def _continuation(lines: list[tuple[int, Line]], first: Line, text: str) -> list[str]:
    """The further lines of a heading that does not fit into one."""
    joined = takewhile(lambda placed: placed[1].font == first.font and text[placed[0] - 1] != "\n", lines)
    return [line.text for _, line in joined]
