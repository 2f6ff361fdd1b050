"""Reader: what every loader is."""

from abc import ABC, abstractmethod

from app.domain.document import ParsedDocument


class StructureReader(ABC):
    """Reads a format and keeps its structure; `ingestion.loaders.lent` makes a LlamaIndex reader of one."""

    @abstractmethod
    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """The document in `data`; `name` is its file name, the title of last resort. Raises UnreadableFile's kinds."""
