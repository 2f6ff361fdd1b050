"""Lent: a loader as a LlamaIndex reader, in a module of its own: LlamaIndex takes most of a second to import."""

from pathlib import Path
from typing import Any

from llama_index.core.readers.base import BaseReader
from llama_index.core.schema import Document

from ingestion.loaders.reader import StructureReader


class LentReader(BaseReader):
    """Usable wherever LlamaIndex takes a reader.

    LlamaIndex's `Document` has no place for headings and pages with exact offsets; `docs/decisions/0003` has the story.
    """

    def __init__(self, reader: StructureReader) -> None:
        self._reader = reader

    def load_data(self, file: Path | str, extra_info: dict[str, Any] | None = None) -> list[Document]:
        """One LlamaIndex document with the whole text, title and media type in its metadata."""
        path = Path(file)
        parsed = self._reader.parse(path.name, path.read_bytes())
        metadata = {"file_name": path.name, "title": parsed.title, "media_type": parsed.media_type}
        return [Document(text=parsed.text, metadata=metadata | (extra_info or {}))]
