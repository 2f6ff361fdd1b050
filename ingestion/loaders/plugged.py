"""Plugged reader: any reader of LlamaIndex's as a loader."""

import tempfile
from itertools import accumulate
from pathlib import Path

from llama_index.core.readers.base import BaseReader

from app.domain.document import ParsedDocument
from ingestion.loaders.characters import clean
from ingestion.loaders.markdown import find_headings
from ingestion.loaders.reader import StructureReader
from ingestion.loaders.title import choose_title


class PluggedReader(StructureReader):
    """Takes what a LlamaIndex reader returns as Markdown, one document per page where they say `page_label`."""

    def __init__(self, reader: BaseReader, media_type: str) -> None:
        self._reader = reader
        self._media_type = media_type

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """The documents' texts one after the other; headings are found in the joined text."""
        with tempfile.TemporaryDirectory() as folder:  # readers take a path, and these very bytes were hashed
            file = Path(folder) / Path(name).name
            file.write_bytes(data)
            documents = self._reader.load_data(file)
        texts = [clean(document.text) for document in documents]
        starts = [0, *accumulate(len(text) + 2 for text in texts[:-1])]
        paged = bool(documents) and all("page_label" in document.metadata for document in documents)
        text = "\n\n".join(texts)
        headings = find_headings(text)
        title = str(documents[0].metadata.get("title") or "") if documents else ""
        return ParsedDocument(
            text=text,
            title=choose_title(text, headings, title, name),
            media_type=self._media_type,
            headings=headings,
            page_starts=tuple(starts) if paged else (),
        )
