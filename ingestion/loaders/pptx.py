"""PPTX: the slides of a presentation as pages."""

import io
from collections.abc import Iterator
from typing import Any

from pptx import Presentation
from pptx.enum.shapes import MSO_SHAPE_TYPE

from app.domain.document import ParsedDocument
from ingestion.loaders.package import opened, refuse_entities
from ingestion.loaders.pieces import Pieces, listed
from ingestion.loaders.reader import StructureReader

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
KIND = "presentation"


class PptxReader(StructureReader):
    """Reads presentations through python-pptx; images and charts are left out."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """A page for each slide: its title as a heading, its text as a list, its tables, its notes."""
        with opened(data, KIND) as package:
            refuse_entities(package, KIND)
        presentation, pieces = Presentation(io.BytesIO(data)), Pieces()
        for number, slide in enumerate(presentation.slides, start=1):
            pieces.page()
            title = slide.shapes.title
            pieces.heading(2, (title.text_frame.text if title is not None else "") or f"Slide {number}")
            for shape in _shapes(slide.shapes):
                if title is not None and shape.shape_id == title.shape_id:
                    continue
                if shape.has_text_frame:
                    pieces.block(listed(_lines(shape.text_frame)))
                elif getattr(shape, "has_table", False):
                    pieces.table([[cell.text for cell in row.cells] for row in shape.table.rows])
            if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
                notes = slide.notes_slide.notes_text_frame.text.strip()
                pieces.block(f"Notes: {notes}" if notes else "")
        properties = presentation.core_properties
        modified = properties.modified.date().isoformat() if properties.modified else ""
        return pieces.document(name, MEDIA_TYPE, properties.title, author=properties.author, date=modified)


def _shapes(shapes: Any) -> Iterator[Any]:
    """All of them, those of groups too, from the top to the bottom."""
    for shape in sorted(shapes, key=lambda shape: (shape.top or 0, shape.left or 0)):
        if shape.shape_type == MSO_SHAPE_TYPE.GROUP:
            yield from _shapes(shape.shapes)
        else:
            yield shape


def _lines(frame: Any) -> Iterator[tuple[int, str]]:
    return ((paragraph.level, paragraph.text.replace("\v", " ").strip()) for paragraph in frame.paragraphs)
