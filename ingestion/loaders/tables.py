"""Tables: long Markdown tables of a text in pieces that each have the header, as a chunk is a span of the text."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace

from app.domain.document import ParsedDocument
from app.providers.tokenizer import count_tokens

PIECE_TOKENS = 130  # two thirds of a chunk of 200; the headings above it fit in too

_DASHES = r"[ \t]*+:?-++:?[ \t]*+"
_RULER = re.compile(rf"^[ >]*+(?=[^\n]*\|)\|?{_DASHES}(?:\|{_DASHES})*+\|?[ \t]*+$", re.MULTILINE)
_CODE = " " * 4
_QUOTE = re.compile(r"(?: {0,3}> ?)*+")
_ITEM = re.compile(r" *+(?:[-*+]|\d{1,9}[.)]) {1,4}(?=\S)")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_OTHER_BLOCK = re.compile(r" {0,3}(?:#{1,6} |>|`{3}|~{3})")
_PIPE = re.compile(r"(?<!\\)\|")
_SOURCES = {"text/asciidoc", "text/org", "text/plain"}  # and text/x-…: in these, what looks like a table may be none
_MARKDOWN = "text/markdown"


def with_headers(document: ParsedDocument) -> ParsedDocument:
    """The document with each long table in pieces that begin with its header, headings and pages where they are then.

    A row that is too long for a piece is written as `name: value` lines, but in Markdown, whose text is the author's.
    """
    text, kept = document.text, document.media_type == _MARKDOWN
    if document.media_type in _SOURCES or document.media_type.startswith("text/x-") or not _RULER.search(text):
        return document
    parts, position = list[str](), 0
    ends, moves = list[int](), [0]  # of the tables, and how far what follows each has moved
    for start, end, lines in _tables(text):
        pieces = "\n\n".join(_pieces(lines, as_written=kept or lines[0].lstrip().startswith(">")))
        parts += [text[position:start], pieces]
        moves.append(moves[-1] + len(pieces) - (end - start))
        ends.append(end)
        position = end

    def moved(offset: int) -> int:
        return offset + moves[bisect_right(ends, offset)]

    return replace(
        document,
        text="".join([*parts, text[position:]]),
        headings=tuple(replace(heading, char_start=moved(heading.char_start)) for heading in document.headings),
        page_starts=tuple(map(moved, document.page_starts)),
    )


def _tables(text: str) -> Iterator[tuple[int, int, list[str]]]:
    """Start, end and lines of each table outside of fences: its header, its ruler, one row or more."""
    lines, fence, fenced, at, start = text.split("\n"), "", 0, 0, 0
    bare = list(_bare(lines))
    while at < len(lines):
        depth, line = bare[at]
        if depth < fenced:  # with a quotation ends the fence in it
            fence, fenced = "", 0
        mark = _FENCE.match(line)
        if mark and not fence:
            fence, fenced = mark[1], depth
        elif mark and mark[1].startswith(fence):
            fence, fenced = "", 0
        last = at + 1 if fence else _table_end(bare, at)
        length = sum(map(len, lines[at:last])) + last - at
        if last > at + 1:
            yield start, start + length - 1, lines[at:last]
        start += length
        at = last


def _bare(lines: list[str]) -> Iterator[tuple[int, str]]:
    """In how many quotations each line is, and the line without their marks and the indentation of its list item."""
    item = 0  # where the text of the list item begins
    for line in lines:
        rest = _QUOTE.sub("", line, count=1)
        indentation = len(rest) - len(rest.lstrip(" "))
        if (mark := _ITEM.match(rest)) and indentation < item + len(_CODE):
            item = len(mark[0])
        elif rest.strip():
            item = min(item, indentation)
        yield line[: len(line) - len(rest)].count(">"), rest[min(item, indentation) :]


def _table_end(bare: list[tuple[int, str]], at: int) -> int:
    """The line after the table that begins at a line, which is the next one where none does."""
    depth, top = bare[at]
    after, ruler = bare[at + 1] if at + 1 < len(bare) else (-1, "")
    if depth != after or not _is_row(top) or not _RULER.fullmatch(ruler):
        return at + 1
    if top.startswith(_CODE) or ruler.startswith(_CODE):
        return at + 1
    end = at + 2
    while end < len(bare) and bare[end][0] == depth and _is_row(bare[end][1]):
        end += 1
    return end if end > at + 2 else at + 1


def _is_row(line: str) -> bool:
    return "|" in line and not _OTHER_BLOCK.match(line)


def _pieces(lines: list[str], *, as_written: bool) -> Iterator[str]:
    top = f"{lines[0]}\n{lines[1]}\n"
    least = size = count_tokens(top)
    part = list[str]()
    for line in lines[2:]:
        tokens = count_tokens(f"{line}\n")
        if part and size + tokens > PIECE_TOKENS:
            yield top + "\n".join(part)
            part, size = [], least
        if least + tokens > PIECE_TOKENS and not as_written:
            yield _pairs(lines[0], line)
        else:
            part.append(line)
            size += tokens
    if part:
        yield top + "\n".join(part)


def _pairs(header: str, row: str) -> str:
    pairs = zip(_cells(header), _cells(row), strict=False)
    return "\n".join(f"{name}: {cell}" if name else cell for name, cell in pairs if cell)


def _cells(line: str) -> list[str]:
    inner = line.strip().removeprefix("|").removesuffix("|")
    return [cell.strip().replace("\\|", "|") for cell in _PIPE.split(inner)]
