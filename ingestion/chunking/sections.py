"""Sections: which headings lead to a place in a document."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise, takewhile

from app.domain.document import Heading, ParsedDocument

HeadingPath = tuple[str, ...]

# What stands before a heading for links to arrive there: targets, anchors, directives that name what follows
# (`.. module::`, `.. setting::`). Directives that show something belong to the text above.
_TARGET = re.compile(
    r"\.\. _[^\n]+:\s*$|<a [^>]*>(?:</a>)?\s*$"
    r"|\.\. (?!version|deprecated|image|figure|include|literalinclude|contents|math|toctree)[\w-]+::.*$"
)


class Sections:
    """The sections of a document in order; the first is what comes before any heading."""

    def __init__(self, document: ParsedDocument) -> None:
        self.starts = [0, *(_start(document.text, heading.char_start) for heading in document.headings)]
        self._paths = list(_paths(document))

    def path(self, start: int, end: int) -> HeadingPath:
        """What leads to the text between two offsets: common to its sections, those aside that only hold the next."""
        first, last = self._index(start), max(self._index(start), self._index(end - 1))
        inside = self._paths[first : last + 1]
        inside = [path for path, below in pairwise(inside) if not _leads_to(path, below)] + inside[-1:]
        return _common(inside)

    def starts_child(self, offset: int) -> bool:
        """Whether the section starting at `offset` is inside the one before it."""
        index = self._index(offset)
        return index > 0 and _leads_to(self._paths[index - 1], self._paths[index])

    def starts_sibling(self, offset: int) -> bool:
        """Whether the section starting at `offset` has the parent of the one before it."""
        index = self._index(offset)
        return index > 1 and self._paths[index][:-1] == self._paths[index - 1][:-1]

    def _index(self, offset: int) -> int:
        return bisect_right(self.starts, offset) - 1


def _start(text: str, heading: int) -> int:
    """Where a heading's section begins: at the heading, or at the targets before it."""
    start = end = heading
    while end > 0:
        line_start = text.rfind("\n", 0, end - 1) + 1
        line = text[line_start : end - 1]
        if line.strip():
            if not _TARGET.match(line):
                break
            start = line_start
        end = line_start
    return start


def _paths(document: ParsedDocument) -> Iterator[HeadingPath]:
    """The path of each section, the document's title first unless one of the headings is it already."""
    title = document.title
    root = () if any(_same(heading.title, title) for heading in document.headings) else (title,)
    open_: list[Heading] = []
    yield (title,)
    for heading in document.headings:
        while open_ and open_[-1].level >= heading.level:
            open_.pop()
        open_.append(heading)
        yield (*root, *(above.title for above in open_))


def _same(first: str, second: str) -> bool:
    return "".join(first.split()).casefold() == "".join(second.split()).casefold()


def _leads_to(path: HeadingPath, below: HeadingPath) -> bool:
    return below[: len(path)] == path


def _common(paths: Sequence[HeadingPath]) -> HeadingPath:
    """The longest beginning that all paths share."""
    return tuple(titles[0] for titles in takewhile(lambda titles: len(set(titles)) == 1, zip(*paths, strict=False)))
