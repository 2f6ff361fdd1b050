"""EPUB contents: a book's table of contents as headings of chapters that have none of their own."""

import posixpath
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import unquote
from zipfile import ZipFile

from lxml import etree

from ingestion.loaders.html import parse_tree
from ingestion.loaders.package import tree

_NCX = "{http://www.daisy.org/z3986/2005/ncx/}"
_NCX_TYPE = "application/x-dtbncx+xml"
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_BLOCKS = ("p", "div")
_FIRST = 5  # blocks of a chapter among which its title may stand


class Entry(NamedTuple):
    """A line of the contents: the element of a chapter that it leads to, empty for its beginning; a level from 1 on."""

    place: str
    level: int
    title: str


def contents(package: ZipFile, items: Mapping[str, etree._Element]) -> Mapping[str, Sequence[Entry]]:
    """The entries of each chapter by its path in the package; `items` are those of the manifest by their paths."""
    found = defaultdict[str, list[Entry]](list)
    documents = [path for path, item in items.items() if "nav" in (item.get("properties") or "").split()]
    older = [path for path, item in items.items() if item.get("media-type") == _NCX_TYPE]
    for path in [*documents, *older]:
        if found or path not in package.namelist():
            continue
        lines = _of_ncx(tree(package.read(path))) if path in older else _of_page(package.read(path))
        for address, level, title in lines:
            chapter, _, place = address.partition("#")
            there = posixpath.normpath(posixpath.join(posixpath.dirname(path), unquote(chapter)))
            if title:
                found[there].append(Entry(unquote(place), level, title))
    return found


def with_headings(page: bytes, entries: Sequence[Entry]) -> bytes:
    """A chapter with its entries as headings, in place of the paragraphs that say the same; as it is if it has any."""
    root = parse_tree(page.decode("utf-8", "replace"))
    body = root.find("body")
    if body is None or next(root.iter(*_HEADINGS), None) is not None:
        return page
    places = {element.get("id"): element for element in root.iter(etree.Element) if element.get("id")}
    for entry in reversed(entries):
        heading = etree.Element(f"h{min(entry.level, 6)}")
        heading.text = entry.title
        target = places.get(entry.place) if entry.place else body
        if target is None:
            continue
        same = _says(target, entry.title)
        if same is not None:
            heading.tail = same.tail
            same.getparent().replace(same, heading)
        elif target is body:
            body.insert(0, heading)
        else:
            target.addprevious(heading)
    written: bytes = etree.tostring(root, encoding="utf-8", method="html")
    return b'<meta charset="utf-8">' + written


def _of_ncx(root: etree._Element) -> Iterator[tuple[str, int, str]]:
    for point in root.iter(f"{_NCX}navPoint"):
        target, level = point.find(f"{_NCX}content"), 1 + sum(1 for _ in point.iterancestors(f"{_NCX}navPoint"))
        if target is not None:
            yield target.get("src", ""), level, _words(point.findtext(f"{_NCX}navLabel/{_NCX}text") or "")


def _of_page(page: bytes) -> Iterator[tuple[str, int, str]]:
    for nav in parse_tree(page.decode("utf-8", "replace")).iter("nav"):
        if nav.get("epub:type") == "toc" or nav.get("type") == "toc":
            for link in nav.iter("a"):
                yield link.get("href", ""), max(1, sum(1 for _ in link.iterancestors("ol"))), _text(link)


def _says(target: etree._Element, title: str) -> etree._Element | None:
    """The paragraph at the beginning of `target`, or itself, that says the title and nothing else."""
    for at, block in enumerate(target.iter(*_BLOCKS)):
        if at == _FIRST:
            return None
        if _text(block).casefold() == title.casefold() and block.getparent() is not None:
            return block
    return None


def _text(element: etree._Element) -> str:
    return _words("".join(element.itertext()))


def _words(text: str) -> str:
    return " ".join(text.split())
