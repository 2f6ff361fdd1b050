"""HTML text: a tree of HTML written as Markdown-like text with its headings located."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from lxml import etree

from app.domain.document import Heading
from ingestion.loaders.characters import clean
from ingestion.loaders.formula import linear
from ingestion.loaders.grid import Cell, spread, titles
from ingestion.loaders.numerals import numeral, whole

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_LISTS = {"ul", "ol"}
_BLOCKS = {
    *("address", "article", "aside", "blockquote", "body", "center", "dd", "details", "div", "dl", "dt", "fieldset"),
    *("figcaption", "figure", "footer", "form", "header", "hgroup", "hr", "html", "legend", "li", "main", "nav", "p"),
    *("pre", "section", "summary", "table", "tbody", "thead", "tfoot", "tr", "td", "th", "caption", "colgroup"),
    *_LISTS,
    *_HEADINGS,
}
# tags whose content reads the same without them; taken out first, so that unclosed ones nest nothing
_MARKUP = (
    *("a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "data", "dfn", "em", "font", "i", "ins"),
    *("label", "mark", "nobr", "small", "span", "strong", "sub", "time", "u", "wbr"),
)
_STRUCK = {"del", "s", "strike"}
_SPACE = re.compile(r"[ \t\n\r\f\xa0\u2000-\u200a\u202f\u205f\u3000]+")
_EMPTY_LINE = re.compile(r"\v\s*\v")
_LANGUAGE = re.compile(r"(?:^|\s)(?:language|lang|highlight|highlight-source)-(\w[\w+#-]*)")
_EXPONENT = re.compile(r"[-+−]?\d+|[a-z]")
_ITEM = re.compile(r"\s*(?:-|\d+\.) ")
_LONGEST_HEADING = 250  # characters; a longer one is a paragraph that has only a heading's style, as clauses often have
_LONGEST_CELL = 400  # characters; a longer cell is layout, not data
_WIDEST, _TALLEST = 50, 1000  # columns and rows that a cell may span


class _Block(NamedTuple):
    text: str
    level: int = 0
    """Of a heading; 0 is no heading."""


def write(root: etree._Element) -> tuple[str, tuple[Heading, ...]]:
    """The text of `root`, blocks separated by blank lines, and its headings. Changes the tree."""
    _write_superscripts(root)
    etree.strip_tags(root, *_MARKUP)
    lines: list[str] = []
    headings: list[Heading] = []
    position = 0
    for block in _blocks(root):
        text = clean(block.text)  # once more: character references make characters too
        if block.level:
            headings.append(Heading(block.level, text, position))
            text = f"{'#' * block.level} {text}"
        lines.append(text)
        position += len(text) + 2
    return "\n\n".join(lines) + "\n" if lines else "", tuple(headings)


def _write_superscripts(root: etree._Element) -> None:
    """Keep a raised number apart from what it follows: `10^6` is not 106, a footnote's mark is no part of a year."""
    for raised in root.iter("sup"):
        text = "".join(raised.itertext()).strip()
        linked = raised.find(".//a") is not None or raised.getparent().tag == "a"
        if linked and text.isdecimal():
            text = f"[{text}]"
        elif not linked and _EXPONENT.fullmatch(text):
            text = f"^{text}"
        for child in list(raised):
            raised.remove(child)
        raised.text = text


def _blocks(element: etree._Element) -> Iterator[_Block]:
    """An element's content as blocks: runs of inline content become paragraphs."""
    inline = [element.text or ""]
    for child in element:
        if _is_block(child):
            yield from _paragraph(inline)
            inline = []
            yield from _block(child)
        else:
            inline.append(_inline(child))
        inline.append(child.tail or "")
    yield from _paragraph(inline)


def _is_block(element: etree._Element) -> bool:
    if element.tag in _BLOCKS:
        return True
    return next(element.iter(*_BLOCKS), None) is not None  # an unknown tag around blocks, a custom element for one


def _block(element: etree._Element) -> Iterator[_Block]:
    tag = element.tag
    if tag in _HEADINGS:
        if title := _one_line(_inline(element)):
            yield _Block(title, _HEADINGS[tag] if len(title) <= _LONGEST_HEADING else 0)
    elif tag == "pre":
        yield from _code(element)
    elif tag in _LISTS:
        if items := _list(element):
            yield _Block(items)
    elif tag == "table":
        yield from _table(element)
    elif tag == "blockquote":
        if quoted := _inner(element):
            yield _Block("\n".join(f"> {line}".rstrip() for line in quoted.split("\n")))
    elif tag == "dt":
        if term := _one_line(_inline(element)):
            yield _Block(f"**{term}**")
    elif tag != "hr":
        yield from _blocks(element)


def _paragraph(inline: list[str]) -> Iterator[_Block]:
    for part in _EMPTY_LINE.split("".join(inline)):
        lines = (_SPACE.sub(" ", line).strip() for line in part.split("\v"))
        if text := "\n".join(line for line in lines if line):
            yield _Block(text)


def _inline(element: etree._Element) -> str:
    r"""The words of an inline element; a line break is \v until white space has been collapsed."""
    if element.tag == "br":
        return "\v"
    if is_tick(element):
        return "☐ " if element.get("checked") is None else "☒ "
    if element.tag == "math":
        return str(element.get("alttext") or element.findtext(".//annotation") or linear(element))
    text = (element.text or "") + "".join(_inline(child) + (child.tail or "") for child in element)
    if element.tag in {"code", "kbd", "samp", "tt", "var"} and text.strip() and "`" not in text:
        return f"`{text.strip()}`" if element.tag != "var" else text
    if element.tag in _STRUCK and text.strip():
        return f"~~{text.strip()}~~"
    return f"“{text}”" if element.tag == "q" else text


def is_tick(element: etree._Element) -> bool:
    """Whether an element is a box that is ticked or not."""
    return bool(element.tag == "input" and element.get("type", "").lower() == "checkbox")


def _one_line(text: str) -> str:
    return _SPACE.sub(" ", text.replace("\v", " ")).strip()


def _inner(element: etree._Element) -> str:
    return "\n\n".join(block.text for block in _blocks(element))


def _code(element: etree._Element) -> Iterator[_Block]:
    for line_break in element.iter("br"):
        line_break.tail = "\n" + (line_break.tail or "")
    for line in element.iter("div", "p", "li"):
        if not "".join(line.itertext()).endswith("\n"):
            line.tail = "\n" + (line.tail or "")
    code = "".join(element.itertext()).strip("\n").rstrip()
    if not code.strip():
        return
    sources = [element, *element.iter("code"), *islice(element.iterancestors(), 2)]
    names = (_LANGUAGE.search(source.get("class", "")) for source in sources)
    language = next((name[1] for name in names if name), "")
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", code)), default=0))
    yield _Block(f"{fence}{language}\n{code}\n{fence}")


def _list(element: etree._Element) -> str:
    """A list's items, one below the other, what follows in an item indented to its marker."""
    items = []
    number = whole(element.get("start", ""), 1)
    for child in element:
        content = "\n".join(block.text for block in _blocks(child)) if child.tag == "li" else _inner(child)
        if not content:
            continue
        if _holds_lists_alone(child):
            items.append(content)
            continue
        marker = "- "
        if element.tag == "ol":
            said = child.get("value") or str(number)
            if said.isdecimal():
                number = int(said[:9])
                said = f"{numeral(number, element.get('type', ''))}."
            marker = f"{said} "
            number += 1
        items.append(marker + content.replace("\n", "\n" + " " * len(marker)))
    return "\n".join(items)


def _holds_lists_alone(item: etree._Element) -> bool:
    """Whether an item is a step down and nothing else, as those of lists that begin at a lower level."""
    parts = [item.text, *(child.tail for child in item)]
    return len(item) > 0 and all(child.tag in _LISTS for child in item) and not any(map(str.strip, filter(None, parts)))


def _table(element: etree._Element) -> Iterator[_Block]:
    """A table of data as a Markdown table, a table that only lays out as what its cells hold."""
    caption = element.find("caption")
    if caption is not None and (title := _one_line(_inner(caption))):
        yield _Block(title)
    rows = [[cell for cell in row if cell.tag in {"td", "th"}] for row in _rows(element)]
    if _is_layout(element, rows):
        for row in rows:
            for cell in row:
                yield from _blocks(cell)
        return
    grid = list(spread([_cell(cell) for cell in row] for row in rows))
    above = titles(grid)
    yield from (_Block(row[0]) for row in grid[:above])
    width, grid = max((len(row) for row in grid), default=0), grid[above:]
    lines = [f"| {' | '.join(row + [''] * (width - len(row)))} |" for row in grid]
    if lines:
        lines.insert(1, f"|{' --- |' * width}")
        yield _Block("\n".join(lines))


def _rows(table: etree._Element) -> Iterator[etree._Element]:
    for child in table:
        if child.tag == "tr":
            yield child
        elif child.tag in {"thead", "tbody", "tfoot"}:
            yield from (row for row in child if row.tag == "tr")


def _is_layout(table: etree._Element, rows: list[list[etree._Element]]) -> bool:
    if table.get("role") in {"presentation", "none"} or max(map(len, rows), default=0) < 2:
        return True
    if next(table.iter("h1", "h2", "h3", "h4", "h5", "h6", "pre"), None) is not None:
        return True
    return any(
        cell.find(".//table") is not None or sum(map(len, cell.itertext())) > _LONGEST_CELL
        for row in rows
        for cell in row
    )


def _cell(element: etree._Element) -> Cell:
    lines = [line for block in _blocks(element) for line in block.text.split("\n")]
    between = "; " if any(map(_ITEM.match, lines)) else " "
    text = _one_line(between.join(_ITEM.sub("", line) for line in lines)).replace("|", "\\|")
    return Cell(text, _span(element, "colspan", _WIDEST), _span(element, "rowspan", _TALLEST))


def _span(element: etree._Element, attribute: str, most: int) -> int:
    span = element.get(attribute, "1")[:9]
    return max(1, min(int(span), most)) if span.isdecimal() else 1
