"""Reader: a LlamaIndex reader that keeps a document's structure."""

from abc import abstractmethod
from pathlib import Path
from typing import Any

from llama_index.core.readers.base import BaseReader
from llama_index.core.schema import Document

from app.domain.document import ParsedDocument


class StructureReader(BaseReader):
    """What every loader here is: usable wherever LlamaIndex takes a reader, and `parse` for more than it carries.

    LlamaIndex's `Document` has no place for headings and pages with exact offsets; `docs/decisions/0003` has the story.
    """

    @abstractmethod
    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """The document in `data`; `name` is its file name, the title of last resort. Raises UnreadableFile's kinds."""

    def load_data(self, file: Path | str, extra_info: dict[str, Any] | None = None) -> list[Document]:
        """One LlamaIndex document with the whole text, title and media type in its metadata."""
        path = Path(file)
        parsed = self.parse(path.name, path.read_bytes())
        metadata = {"file_name": path.name, "title": parsed.title, "media_type": parsed.media_type}
        return [Document(text=parsed.text, metadata=metadata | (extra_info or {}))]
