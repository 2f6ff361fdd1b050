"""Title: what a document is called."""

import re
from collections.abc import Sequence
from pathlib import PurePath

from app.domain.document import Heading
from ingestion.storable import storable_text

_LONGEST = 200
_SPACE = re.compile(r"\s+")
_CHAPTER_ONE = re.compile(r"(?:§ ?)?1(?:\.1?|\))?\s|I\.\s")
_SENTENCE_END = re.compile(r"[.;,][\"'”’)]*$")


def choose_title(text: str, headings: Sequence[Heading], declared: str, name: str) -> str:
    """The first top heading, else what the file declares, else a short first line, else the file's name.

    A first line that is a sentence names nothing, and a chapter 1 names itself alone.
    """
    first_line = text.lstrip().split("\n", 1)[0].strip()
    if headings and _CHAPTER_ONE.match(headings[0].title):
        first_line = "" if first_line.endswith(headings[0].title) else first_line
        headings = ()
    top = next((heading.title for heading in headings if heading.level == 1), "")
    if sum(map(str.isalpha, first_line)) < 2 or len(first_line) > 120 or _SENTENCE_END.search(first_line):
        first_line = ""
    for candidate in (top, declared, headings[0].title if headings else "", first_line, PurePath(name).stem):
        title = _SPACE.sub(" ", storable_text(candidate)).strip()
        if title:
            return title if len(title) <= _LONGEST else title[:_LONGEST].rsplit(" ", 1)[0] + " …"
    return "Untitled"
