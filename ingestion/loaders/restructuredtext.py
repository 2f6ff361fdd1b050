"""reStructuredText: the source text as it is, and its section titles."""

import re
from unicodedata import east_asian_width

from app.domain.document import Heading, ParsedDocument
from ingestion.loaders.characters import clean, decode
from ingestion.loaders.declared import declared
from ingestion.loaders.reader import StructureReader
from ingestion.loaders.title import choose_title

MEDIA_TYPE = "text/x-rst"

_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1+\Z")
_NOT_A_TITLE = re.compile(r"\s|>>> |\.\. |\| |[-*+] ")
_DOCINFO = re.compile(r"^:(authors?|date|language):[ \t]+([^\s$].*)$", re.IGNORECASE | re.MULTILINE)
_HEAD = 3000  # characters, in which they stand
_LONGEST_TITLE = 500  # characters
_ROLE = re.compile(r":[\w:+.-]+:`([^`]+)`")
_TARGET = re.compile(r"\A(.+?)\s*<[^<>]*>\Z", re.DOTALL)
_PHRASE = re.compile(r"`([^`]+)`_{0,2}")
_EMPHASIS = re.compile(r"(\*{1,2}|\|)(\S|\S.*?\S)\1")


class RestructuredTextReader(StructureReader):
    """Reads reStructuredText, Sphinx's dialect included."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """The text with its sections; the level of an adornment is the order in which it first appears."""
        text = clean(decode(data))
        headings = find_headings(text)
        return ParsedDocument(
            text=text,
            title=choose_title(text, headings, "", name),
            media_type=MEDIA_TYPE,
            headings=headings,
            metadata=_docinfo(text, headings),
        )


def _docinfo(text: str, headings: tuple[Heading, ...]) -> dict[str, object]:
    """What the fields say that stand before the first section, or between the title and the second."""
    end = headings[1].char_start if len(headings) > 1 else len(text)
    found = _DOCINFO.findall(text[: min(end, _HEAD)])
    said = {field.lower(): value.strip() for field, value in reversed(found)}  # the first counts
    author = said.get("author") or said.get("authors")
    return declared(author=author, date=said.get("date"), language=said.get("language"))


def find_headings(text: str) -> tuple[Heading, ...]:
    """Section titles of a reStructuredText, in reading order; `char_start` is the overline's where there is one.

    The rules are those of the specification (docutils, "Sections"): an adornment is one character repeated from the
    first column, at least as long as the title (or 4 characters: docutils only warns), with a blank line before it.
    Transitions have blank lines around them, rulers of tables have gaps, and what is indented is not a section.
    """
    lines = text.split("\n")
    levels: dict[str, int] = {}
    headings = []
    start, index = 0, 0
    while index < len(lines):
        taken, style = _title_at(lines, index)
        if style:
            title = _plain(lines[index + taken - 2])
            headings.append(Heading(levels.setdefault(style, len(levels) + 1), title, start))
        for line in lines[index : index + taken]:
            start += len(line) + 1
        index += taken
    return tuple(headings)


def _title_at(lines: list[str], index: int) -> tuple[int, str]:
    """How many lines the title at `index` takes, and its adornment style; (1, "") when there is none."""
    first, second, third = (lines[i].rstrip() if i < len(lines) else "" for i in (index, index + 1, index + 2))
    over = _ADORNMENT.match(first)
    if over:
        if (
            second
            and len(second) <= _LONGEST_TITLE
            and first == third
            and not _ADORNMENT.match(second)
            and _covers(first, second)
        ):
            return 3, over[1] * 2
        return 1, ""
    under = _ADORNMENT.match(second)
    if not first or len(first) > _LONGEST_TITLE or not under or _NOT_A_TITLE.match(first) or not _covers(second, first):
        return 1, ""
    before = lines[index - 1].strip() if index else ""
    if before and not before.startswith("..") and not _ADORNMENT.match(before):
        return 1, ""  # the last line of a paragraph
    return 2, under[1]


def _covers(adornment: str, title: str) -> bool:
    width = sum(2 if east_asian_width(character) in "WF" else 1 for character in title.strip())
    return len(adornment) >= min(width, 4)


def _plain(title: str) -> str:
    """The words of a title: interpreted text by what it shows, without quotes and stars."""
    title = _ROLE.sub(lambda role: _shown(role[1]), title.strip())
    title = title.replace("``", "")
    title = _PHRASE.sub(lambda phrase: _TARGET.sub(r"\1", phrase[1]), title)
    return _EMPHASIS.sub(r"\2", title).replace("\\", "")


def _shown(content: str) -> str:
    """What a role displays: its text before `<target>`, or the last part of a `~dotted.name`."""
    content = _TARGET.sub(r"\1", content)
    return content.rsplit(".", 1)[-1] if content.startswith("~") else content.lstrip("!")
