"""OpenDocument's numbers: those of headings and list items, which follow from their styles (ODF 1.3, part 3, 16.30)."""

from typing import NamedTuple

from lxml import etree

from ingestion.loaders.numerals import numeral, whole

_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_STYLE = "{urn:oasis:names:tc:opendocument:xmlns:style:1.0}"
_LEVEL_STYLES = (f"{_TEXT}list-level-style-number", f"{_TEXT}outline-level-style")
_FORMS = {"1", "a", "A", "i", "I"}  # of numbers that are shown
_OUTLINE = ""  # the style of headings has no name


class _Level(NamedTuple):
    kind: str
    before: str
    after: str
    shown: int
    """Levels whose numbers are written, its own the last."""
    start: int


class Numbers:
    """The numbers of a document's headings and items; ask for each in their order."""

    def __init__(self, *roots: etree._Element) -> None:
        """`roots` are the parts of the file that may hold styles."""
        self._styles = {
            style.get(f"{_STYLE}name", "") if style.tag == f"{_TEXT}list-style" else _OUTLINE: _levels(style)
            for root in roots
            for style in root.iter(f"{_TEXT}list-style", f"{_TEXT}outline-style")
        }
        self._counts = dict[str, dict[int, int]]()

    def of_heading(self, heading: etree._Element, level: int) -> str:
        """The number before a heading of a level from 1 on; empty for none."""
        if heading.get(f"{_TEXT}is-list-header") == "true":
            return ""
        return self._next(_OUTLINE, level, heading.get(f"{_TEXT}start-value", ""))

    def begin(self, listed: etree._Element) -> str:
        """A list that is in no other begins: the name of its style."""
        style = str(listed.get(f"{_TEXT}style-name", "-"))
        if listed.get(f"{_TEXT}continue-numbering") != "true" and not listed.get(f"{_TEXT}continue-list"):
            self._counts.pop(style, None)
        return style

    def of_item(self, style: str, level: int, item: etree._Element) -> str:
        """The number before an item of a level from 1 on; empty for a bullet."""
        return self._next(style, level, item.get(f"{_TEXT}start-value", ""))

    def _next(self, style: str, at: int, start: str) -> str:
        levels, counts = self._styles.get(style, {}), self._counts.setdefault(style, {})
        level = levels.get(at)
        if level is None:
            return ""
        counts[at] = whole(start, counts[at] + 1 if at in counts else level.start)
        for below in [below for below in counts if below > at]:
            del counts[below]
        places = range(max(1, at - level.shown + 1), at + 1)
        numbers = (
            numeral(counts.get(place, levels[place].start), levels[place].kind)
            for place in places
            if place in levels and levels[place].kind in _FORMS
        )
        number = ".".join(numbers)
        return f"{level.before}{number}{level.after}".strip() if number else ""


def _levels(style: etree._Element) -> dict[int, _Level]:
    return {
        whole(level.get(f"{_TEXT}level", ""), 1): _Level(
            kind=level.get(f"{_STYLE}num-format", ""),
            before=level.get(f"{_STYLE}num-prefix", ""),
            after=level.get(f"{_STYLE}num-suffix", ""),
            shown=whole(level.get(f"{_TEXT}display-levels", ""), 1),
            start=whole(level.get(f"{_TEXT}start-value", ""), 1),
        )
        for level in style.iterchildren(*_LEVEL_STYLES)
    }
