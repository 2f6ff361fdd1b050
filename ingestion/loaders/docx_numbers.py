"""Word's numbers: those that it shows before headings, clauses and steps, and keeps nowhere in the text.

A paragraph names a list and a level, by itself or through its style (ECMA-376, part 1, 17.9); what is shown follows
from the paragraphs before it: `4.2`, `(a)`, `§ 3`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lxml import etree

from ingestion.loaders.numerals import numeral, whole

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_LEVELS = 9
_LONGEST_CHAIN = 20  # styles that are based on one another; Word allows no more than 11
_FORMS = {"lowerLetter": "a", "upperLetter": "A", "lowerRoman": "i", "upperRoman": "I"}
_PLACE = re.compile("%([1-9])")


@dataclass(frozen=True, slots=True)
class _Level:
    start: int
    kind: str
    text: str
    legal: bool
    """All of its numbers are written in digits."""
    style: str
    """That of the paragraphs which are of this level without saying so."""


@dataclass(slots=True)
class _List:
    """The levels of a list, and how far each has come; several numberings may count on in one."""

    levels: Mapping[int, _Level]
    counts: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Numbering:
    """What paragraphs name: a list, and where it starts anew for them."""

    counted: _List
    starts: Mapping[int, int]


class Numbers:
    """The numbers of a document's paragraphs; ask for each in their order."""

    def __init__(self, numbering: etree._Element | None, styles: Mapping[str | None, etree._Element]) -> None:
        """`styles` by their ids."""
        self._styles = styles
        self._begun = set[str]()
        lists = {one.get(f"{W}abstractNumId", ""): one for one in _all(numbering, "abstractNum")}
        made = {name: _List(_levels(one)) for name, one in lists.items()}
        self._numberings = dict[str, _Numbering]()
        linked = list[tuple[str, str]]()
        for one in _all(numbering, "num"):
            name, counted = one.get(f"{W}numId", ""), value(one, "abstractNumId")
            if counted in made:
                starts = {
                    whole(level.get(f"{W}ilvl", ""), 0): whole(start, 0)
                    for level in one.iterchildren(f"{W}lvlOverride")
                    if (start := value(level, "startOverride"))
                }
                self._numberings[name] = _Numbering(made[counted], starts)
                if link := value(lists[counted], "numStyleLink"):
                    linked.append((name, link))
        for name, link in linked:  # the list is that of a style
            other = value(styles[link], "pPr", "numPr", "numId") if link in styles else ""
            if other in self._numberings:
                self._numberings[name] = _Numbering(self._numberings[other].counted, self._numberings[name].starts)

    def next(self, paragraph: etree._Element) -> str:
        """The number before a paragraph; empty for a bullet, or for none."""
        name, at = self._place(paragraph)
        numbering = self._numberings.get(name)
        level = numbering.counted.levels.get(at) if numbering is not None else None
        if numbering is None or level is None:
            return ""
        counts, levels = numbering.counted.counts, numbering.counted.levels
        if name not in self._begun:
            self._begun.add(name)
            for restarted, start in numbering.starts.items():
                counts[restarted] = start - 1
        for above in range(at):
            if above not in counts and above in levels:
                counts[above] = levels[above].start
        counts[at] = counts[at] + 1 if at in counts else level.start
        for below in range(at + 1, _LEVELS):
            counts.pop(below, None)

        def written(place: re.Match[str]) -> str:
            of = int(place[1]) - 1
            return _written(counts[of], "decimal" if level.legal else levels[of].kind) if of in counts else ""

        return "" if level.kind == "bullet" else _PLACE.sub(written, level.text).strip()

    def _place(self, paragraph: etree._Element) -> tuple[str, int]:
        """The numbering that a paragraph names, and its level."""
        said, name, at = paragraph.find(f"{W}pPr/{W}numPr"), "", ""
        if said is not None:
            name, at = value(said, "numId"), value(said, "ilvl")
        for style in descent(value(paragraph, "pPr", "pStyle"), self._styles):
            if name:
                break
            name = value(style, "pPr", "numPr", "numId")
            by_style = self._level_of(name, style.get(f"{W}styleId", "")) if name else ""
            at = at or value(style, "pPr", "numPr", "ilvl") or by_style
        return name, whole(at, 0)

    def _level_of(self, name: str, style_id: str) -> str:
        levels = self._numberings[name].counted.levels if name in self._numberings else {}
        return next((str(at) for at, level in levels.items() if level.style == style_id), "")


def descent(style_id: str | None, styles: Mapping[str | None, etree._Element]) -> Iterator[etree._Element]:
    """A style and those that it is based on, the nearest first."""
    for _ in range(_LONGEST_CHAIN):
        style = styles.get(style_id)
        if style is None:
            return
        yield style
        style_id = value(style, "basedOn")


def value(element: etree._Element, *path: str) -> str:
    """What the element at the end of the path is set to; empty when there is none."""
    found = element.find("/".join(f"{W}{name}" for name in path))
    return found.get(f"{W}val") or "" if found is not None else ""


def _all(root: etree._Element | None, name: str) -> list[etree._Element]:
    return [] if root is None else list(root.iterchildren(f"{W}{name}"))


def _levels(counted: etree._Element) -> dict[int, _Level]:
    return {
        whole(level.get(f"{W}ilvl", ""), 0): _Level(
            start=whole(value(level, "start"), 0),
            kind=value(level, "numFmt") or "decimal",
            text=value(level, "lvlText"),
            legal=level.find(f"{W}isLgl") is not None,
            style=value(level, "pStyle"),
        )
        for level in counted.iterchildren(f"{W}lvl")
    }


def _written(number: int, kind: str) -> str:
    """A number as its format has it; in digits by formats of rare use."""
    match kind:
        case "none":
            return ""
        case "decimalZero":
            return f"{number:02}"
    return numeral(number, _FORMS.get(kind, ""))
