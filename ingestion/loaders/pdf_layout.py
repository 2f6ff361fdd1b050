"""PDF layout: lines with their places on pages, put together to paragraphs."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

COLUMN_GAP = 1.1
"""Of a line's height: what is farther apart in it stands in columns."""
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_ENDS_SENTENCE = re.compile(r"[.!?:;…。！？][\"'”’)\]]*$")
_ITEM = re.compile(r"(?:[•◦▪‣∙·●○■*–—-]|\(?\d{1,3}[.)]|\[\d+\]|\(?[a-zA-Z][.)])\s")
_RUNNING_SHARE = 0.4  # of the pages; left and right pages may differ
_FEWEST_RUNNING = 3  # pages
_FEWEST_SPACES = 3  # of a line that is part of a sentence, not of a list
_FEWEST_LINES = 8  # of a page that has margins to speak of


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a page: its text without the hyphen it may end in, and its box in points, y upwards."""

    text: str
    left: float
    right: float
    bottom: float
    top: float
    hyphenated: bool = False
    font: str = ""
    """Its one font; empty when it has several."""
    sideways: bool = False
    """Whether it runs up or down the page: a label in a figure, a stamp in the margin."""

    @property
    def height(self) -> float:
        """Of its tallest character, in points; about 1.2 times the font size."""
        return self.top - self.bottom


@dataclass(frozen=True, slots=True)
class Layout:
    """A document's text, where each page and each line that was kept begins in it."""

    text: str
    page_starts: tuple[int, ...]
    lines: tuple[tuple[tuple[int, Line], ...], ...]
    """For each page: offset and line."""


def without_hyphen(text: str) -> tuple[str, bool]:
    """A line's text without the hyphen that it ends in, and whether it did."""
    hyphenated = text[-1:] in {"-", "\u00ad"} and text[-2:-1].isalpha()
    return (text[:-1] if hyphenated else text), hyphenated


def lay_out(pages: Sequence[Sequence[Line]]) -> Layout:
    """Join the lines of all pages, in the order of the file, to paragraphs separated by blank lines.

    Hyphens at line ends are undone, page numbers and running heads left out. A line break stays where joining is not
    safe: in tables, lists and addresses.
    """
    kept = _without_running_heads([_plain_gaps(_mend(_sideways_first(page))) for page in pages])
    vocabulary = _Vocabulary(line for page in kept for line in page)
    pieces: list[str] = []
    position = 0
    page_starts, placed = [], []
    flow = _Flow()
    for page in kept:
        flow.turn_page(page)
        offsets = []
        for index, line in enumerate(page):
            separator = flow.separator(index)
            if flow.previous is not None and flow.previous.hyphenated:
                hyphen = "-" if separator else vocabulary.hyphen(flow.previous.text, line.text)
                separator = hyphen + separator
            offsets.append((position + len(separator), line))
            pieces += (separator, line.text)
            position += len(separator) + len(line.text)
            flow.previous = line
        page_starts.append(offsets[0][0] if offsets else position)
        placed.append(tuple(offsets))
    return Layout("".join(pieces), tuple(page_starts), tuple(placed))


class _Flow:
    """What stands between each line and the one before it."""

    def __init__(self) -> None:
        self.previous: Line | None = None
        self._page: Sequence[Line] = ()
        self._pitch = 0.0
        self._opens_paragraph = True

    def turn_page(self, page: Sequence[Line]) -> None:
        """Go on with the lines of the next page."""
        drops = [above.bottom - line.bottom for above, line in pairwise(page)]
        self._page = page
        self._pitch = median([drop for drop in drops if drop > 0] or [0.0])

    def separator(self, index: int) -> str:
        """Nothing, a space, a line end or a blank line before the line at `index` of the page."""
        if self.previous is None:
            return ""
        separator = self._between(self.previous, index)
        self._opens_paragraph = separator == "\n\n"
        return separator

    def _between(self, above: Line, index: int) -> str:
        line = self._page[index]
        glue = "" if above.hyphenated or _has_no_space(above.text, line.text) else " "
        if index == 0 or line.bottom > above.bottom + line.height:  # a new page, a new column
            goes_on = line.text[0].islower() and not _ENDS_SENTENCE.search(above.text)
            return glue if goes_on and _same_size(above, line) else "\n\n"
        if above.hyphenated:
            return ""
        if above.sideways or line.sideways:
            return "\n"
        if self._is_apart(above, line):
            return "\n\n"
        if _is_tabular(line.text) and _is_tabular(above.text):
            return "\n"
        if not _same_size(above, line) or _other_font(above, line) or self._is_indented(above, index):
            return "\n\n"
        if _ITEM.match(line.text):
            return "\n"
        if self._had_room(index - 1, line.text):
            if _ENDS_SENTENCE.search(above.text):
                return "\n\n"
            in_sentence = line.text[0].islower() and above.text.count(" ") >= _FEWEST_SPACES
            return glue if in_sentence else "\n"
        return glue

    def _is_apart(self, above: Line, line: Line) -> bool:
        """Whether more than the usual space is between two lines."""
        usual = max(self._pitch, 1.2 * line.height)
        return not 0 <= above.bottom - line.bottom <= 1.35 * usual

    def _is_indented(self, above: Line, index: int) -> bool:
        """Whether a line begins a paragraph: set in while the next is not, or set out after a hanging one."""
        line, step = self._page[index], 0.6 * above.height
        if abs(line.left + line.right - above.left - above.right) < 0.3 * step:
            return False  # centred
        if line.left > above.left + step:
            below = self._page[index + 1] if index + 1 < len(self._page) else None
            return below is not None and below.left < line.left - step and below.bottom < line.bottom
        return line.left < above.left - step and not self._opens_paragraph

    def _had_room(self, index: int, text: str) -> bool:
        """Whether the first word of `text` would have fitted into the line at `index`: then it ends on purpose."""
        line = self._page[index]
        column = [line.right, *self._block(index, 1), *self._block(index, -1)]
        per_character = (line.right - line.left) / len(line.text)
        needed = per_character * (len(text.split(" ", 1)[0]) + 1)
        return max(column) - line.right > needed + line.height

    def _block(self, index: int, step: int) -> Iterator[float]:
        """The right edges of up to four lines that follow (or go before) in the same paragraph or list."""
        line = self._page[index]
        for other_index in range(index + step, index + 5 * step, step):
            if not 0 <= other_index < len(self._page):
                return
            other = self._page[other_index]
            above, below = (line, other) if step > 0 else (other, line)
            if self._is_apart(above, below) or abs(other.left - line.left) > 2 * line.height:
                return
            yield other.right
            line = other


class _Vocabulary:
    """The words of a document, to tell a hyphen of the typesetter from one of the author."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._words = Counter(word.lower() for line in lines for word in _WORD.findall(line.text))

    def hyphen(self, before: str, after: str) -> str:
        """A hyphen if it belongs between the end of one line and the start of the next, else nothing."""
        head, tail = re.search(r"\S*$", before), re.match(r"[^\W\d_]*", after)
        first, second = (head[0] if head else ""), (tail[0] if tail else "")
        if not second or not second.islower() or not first[-1:].islower() or "/" in first:
            return "-"  # GPT-3, LLaMA-65B, pages 12-15, an address
        word = re.split(r"[^\w-]", first)[-1].lower()
        joined, compound = self._words[word + second], self._words[f"{word}-{second}"]
        return "-" if compound > joined or ("-" in word and not joined) else ""


def _sideways_first(lines: Sequence[Line]) -> list[Line]:
    """Sideways lines before the page's text, which they would interrupt; unless all of the page is turned."""
    turned = sum(line.sideways for line in lines)
    return sorted(lines, key=lambda line: not line.sideways) if 2 * turned < len(lines) else list(lines)


def _mend(lines: Sequence[Line]) -> list[Line]:
    """Put together what a raised or lowered character has split: the reader of the file starts a line for it."""
    mended: list[Line] = []
    for line in lines:
        last = mended[-1] if mended else None
        if last is not None and not last.hyphenated and _is_beside(last, line):
            gap = line.left - last.right
            space = "" if gap < 0.12 * max(last.height, line.height) else " "
            taller = last if last.height >= line.height else line
            mended[-1] = replace(
                taller,
                text=last.text + space + line.text,
                left=last.left,
                right=line.right,
                hyphenated=line.hyphenated,
            )
        else:
            mended.append(line)
    return [line for line in mended if any(map(str.isalnum, line.text))]  # no dots and arrows of drawings


def _plain_gaps(lines: list[Line]) -> list[Line]:
    """Spaces for the tabs of a line that stands alone: a paragraph's, stretched to the margin."""
    tabular = [False, *(_is_tabular(line.text) for line in lines), False]
    return [
        line if tabular[index] or tabular[index + 2] else replace(line, text=line.text.replace("\t", " "))
        for index, line in enumerate(lines)
    ]


def _is_beside(last: Line, line: Line) -> bool:
    overlap = min(last.top, line.top) - max(last.bottom, line.bottom)
    gap = line.left - last.right
    return (
        overlap > 0.5 * min(last.height, line.height)
        and -0.5 * line.height < gap < 1.5 * line.height
        and not (last.sideways or line.sideways)
    )


def _without_running_heads(pages: list[list[Line]]) -> list[list[Line]]:
    """Pages without what stands at the top or bottom of many of them, numbers aside; the first one with words stays."""
    edges = [sorted(page, key=lambda line: line.top) if len(page) >= _FEWEST_LINES else [] for page in pages]
    margins = [{*lines[:2], *lines[-2:]} for lines in edges]
    seen = Counter(mask for margin in margins for mask in {_mask(line.text) for line in margin})
    needed = max(_FEWEST_RUNNING, _RUNNING_SHARE * len(pages))
    running = {mask: not any(map(str.isalpha, mask)) for mask, count in seen.items() if count >= needed}
    kept: list[list[Line]] = []
    for page, margin in zip(pages, margins, strict=True):
        drop = {line for line in margin if running.get(_mask(line.text))}
        kept.append([line for line in page if line not in drop])
        running.update((mask, True) for mask in {_mask(line.text) for line in margin} & running.keys())
    return kept


def _mask(text: str) -> str:
    return re.sub(r"\d+", "0", text)


def _is_tabular(text: str) -> bool:
    """Whether a line has columns, or digits in more than half of three or more words."""
    if "\t" in text:
        return True
    words = [word for word in text.split() if any(map(str.isalnum, word))]
    return len(words) > 2 and 2 * sum(1 for word in words if any(map(str.isdigit, word))) > len(words)


def _same_size(above: Line, line: Line) -> bool:
    return abs(line.height - above.height) <= 0.1 * above.height


def _other_font(above: Line, line: Line) -> bool:
    return bool(above.font and line.font) and above.font != line.font


def _has_no_space(before: str, after: str) -> bool:
    """Whether a line break stands for nothing: inside an address, or in a script without spaces between words."""
    if re.search(r"https?://\S*[/.?=&_]$", before):
        return True
    return all(
        "\u2e80" <= character <= "\u9fff" or "\uff00" <= character <= "\uffef" for character in (before[-1], after[0])
    )
