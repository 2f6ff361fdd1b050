"""Source code: the text as it is, its definitions as headings."""

import re
from pathlib import PurePath

from app.domain.document import Heading, ParsedDocument
from app.domain.errors import DamagedFile
from ingestion.loaders.characters import clean, decode
from ingestion.loaders.reader import StructureReader

_LONGEST_LINE = 5000  # characters; no one wrote a longer one
_DEFINITION = re.compile(
    r"^(?P<indent>[ \t]*)"
    r"(?:(?:export|default|public|private|protected|internal|static|final|abstract|async|pub(?:\(\w+\))?)\s+)*"
    r"(?:class|def|function|func|fn|interface|struct|trait|enum|impl|module|type|object|protocol|CREATE\s+TABLE)\s+"
    r"(?P<name>[\w.$:<>\"]*[\w>\"])",
    re.MULTILINE,
)


class CodeReader(StructureReader):
    """Reads source code of any language that names its definitions by a word before them."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """Headings are classes, functions and the like, by their indentation. Raises DamagedFile if it is minified."""
        text = clean(decode(data))
        if max(map(len, text.split("\n"))) > _LONGEST_LINE:
            raise DamagedFile("The file is minified or generated code; ingest its source.")
        headings = tuple(
            Heading(2 if not found["indent"] else 3, found[0].strip(), found.start())
            for found in _DEFINITION.finditer(text)
        )
        return ParsedDocument(
            text, PurePath(name).name, f"text/x-{PurePath(name).suffix.lstrip('.') or 'source'}", headings
        )
