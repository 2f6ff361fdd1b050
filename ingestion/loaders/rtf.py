"""RTF: rich text as plain text."""

from striprtf.striprtf import rtf_to_text

from app.domain.document import ParsedDocument
from ingestion.loaders.pieces import Pieces
from ingestion.loaders.reader import StructureReader

MEDIA_TYPE = "application/rtf"


class RtfReader(StructureReader):
    """Reads rich text through striprtf; styles and images are left out, so that there are no headings."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """Its paragraphs."""
        pieces = Pieces()
        for line in rtf_to_text(data.decode("latin-1"), errors="replace").split("\n"):
            pieces.block(line.strip())
        return pieces.document(name, MEDIA_TYPE)
