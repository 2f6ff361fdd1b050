"""PDF tags: the headings of a PDF that says of its text what it is, as office programs and browsers write it."""

import ctypes
import re
from collections import defaultdict
from collections.abc import Iterator, Set
from typing import Any

from pypdfium2 import raw

from ingestion.loaders.characters import clean
from ingestion.loaders.pdf_headings import Entry

_HEADING = re.compile("H([1-6])")
_MOST_ELEMENTS = 100_000  # of a page
_LONGEST = 1000  # characters of a piece of text, of which a heading has one or a few


def tagged(document: Any) -> list[Entry]:
    """The headings of all pages in the order of the tags."""
    return [
        entry
        for number in range(len(document) if raw.FPDFCatalog_IsTagged(document) else 0)
        for entry in _of_page(document[number], number)
    ]


def _of_page(page: Any, number: int) -> Iterator[Entry]:
    tree = raw.FPDF_StructTree_GetForPage(page)
    if not tree:
        return
    try:
        headings = list(_headings(tree))
    finally:
        raw.FPDF_StructTree_Close(tree)
    texts = _texts(page, {place for _, places in headings for place in places}) if headings else {}
    for level, places in headings:
        if title := " ".join("".join(texts.get(place, "") for place in places).split()):
            yield Entry(level, title, number)


def _headings(tree: Any) -> Iterator[tuple[int, list[int]]]:
    """The level of each heading, and the numbers of what is marked as its content."""
    roots = (raw.FPDF_StructTree_GetChildAtIndex(tree, at) for at in range(raw.FPDF_StructTree_CountChildren(tree)))
    waiting, seen = [root for root in roots if root][::-1], 0
    while waiting and (seen := seen + 1) < _MOST_ELEMENTS:
        element = waiting.pop()
        if (heading := _HEADING.fullmatch(_type(element))) is not None:
            yield int(heading[1]), list(_content(element))
        else:
            waiting += [child for child, _ in _children(element) if child][::-1]


def _content(element: Any) -> Iterator[int]:
    waiting, seen = [(element, -1)], 0
    while waiting and (seen := seen + 1) < _MOST_ELEMENTS:
        inner, place = waiting.pop()
        if inner:
            waiting += list(_children(inner))[::-1]
        elif place >= 0:
            yield place


def _children(element: Any) -> Iterator[tuple[Any, int]]:
    """Each child: an element, or the number of marked content."""
    for at in range(max(0, raw.FPDF_StructElement_CountChildren(element))):
        child = raw.FPDF_StructElement_GetChildAtIndex(element, at)
        yield (child, -1) if child else (None, raw.FPDF_StructElement_GetChildMarkedContentID(element, at))


def _type(element: Any) -> str:
    buffer = ctypes.create_string_buffer(64)
    size = raw.FPDF_StructElement_GetType(element, buffer, len(buffer))
    return buffer.raw[: min(size, len(buffer))].decode("utf-16-le", "replace").rstrip("\0")


def _texts(page: Any, wanted: Set[int]) -> dict[int, str]:
    """What is written in marked content, by its number."""
    texts, text_page = defaultdict[int, str](str), page.get_textpage()
    try:
        for piece in page.get_objects(filter=[raw.FPDF_PAGEOBJ_TEXT], max_depth=1):
            place = raw.FPDFPageObj_GetMarkedContentID(piece)
            if place in wanted:
                buffer = (ctypes.c_ushort * _LONGEST)()
                size = raw.FPDFTextObj_GetText(piece, text_page, buffer, ctypes.sizeof(buffer))
                texts[place] += clean(bytes(buffer)[: max(0, size - 2)].decode("utf-16-le", "replace"))
    finally:
        text_page.close()
    return texts
