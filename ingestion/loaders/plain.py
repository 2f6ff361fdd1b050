"""Plain text: the text as it is."""

from app.domain.document import ParsedDocument
from ingestion.loaders.characters import clean, decode
from ingestion.loaders.reader import StructureReader
from ingestion.loaders.title import choose_title

MEDIA_TYPE = "text/plain"


class PlainTextReader(StructureReader):
    """Reads text in any encoding; it has no headings."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """The text, titled by its first line when that is short."""
        text = clean(decode(data))
        return ParsedDocument(text=text, title=choose_title(text, (), "", name), media_type=MEDIA_TYPE)
