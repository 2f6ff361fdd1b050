"""Notebook: the cells of a Jupyter notebook."""

import re
from typing import Any

import msgspec

from app.domain.document import ParsedDocument
from app.domain.errors import DamagedFile
from ingestion.loaders.characters import clean, decode
from ingestion.loaders.markdown import find_headings
from ingestion.loaders.pieces import Pieces
from ingestion.loaders.reader import StructureReader

MEDIA_TYPE = "application/x-ipynb+json"
_LONGEST_OUTPUT = 2000  # characters; a longer one is data
_OVERWRITTEN = re.compile(r"^[^\n]*\r(?=[^\r\n])", re.MULTILINE)  # by what follows, as progress bars do
_OBJECT = re.compile(r"\[?<[^<>\n]*>\]?")  # such as <Figure size 640x480 with 1 Axes>


class NotebookReader(StructureReader):
    """Reads notebooks; nothing in them is run, images are left out."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """Text as it is, code and its printed output in fences."""
        try:
            notebook: dict[str, Any] = msgspec.json.decode(decode(data), type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise DamagedFile(f"The notebook is not JSON ({error}); get a whole copy.") from error
        language = notebook.get("metadata", {}).get("kernelspec", {}).get("language") or "python"
        pieces = Pieces()
        for cell in notebook.get("cells") or []:
            source = clean(_joined(cell.get("source"))).strip("\n")
            if cell.get("cell_type") == "markdown":
                pieces.join(ParsedDocument(source, "", "", headings=find_headings(source)))
            elif cell.get("cell_type") == "code" and source:
                pieces.block(f"```{language}\n{source}\n```")
                for output in cell.get("outputs") or []:
                    printed = _printed(output)
                    if printed.strip():
                        pieces.block(f"```\n{printed[:_LONGEST_OUTPUT]}\n```")
        title, authors = (notebook.get("metadata", {}).get(field) for field in ("title", "authors"))
        listed = authors if isinstance(authors, list) else []
        names = [one["name"] for one in listed if isinstance(one, dict) and isinstance(one.get("name"), str)]
        return pieces.document(name, MEDIA_TYPE, title if isinstance(title, str) else "", author=", ".join(names))


def _printed(output: dict[str, Any]) -> str:
    """What an output shows as text: of a line that was written anew the last state, of an object not its address."""
    text = _joined(output.get("text") or output.get("data", {}).get("text/plain"))
    text = clean(_OVERWRITTEN.sub("", text)).strip("\n")
    return "" if "data" in output and _OBJECT.fullmatch(text) else text


def _joined(text: object) -> str:
    return "".join(map(str, text)) if isinstance(text, list) else str(text or "")
