"""PPTX: the slides of a presentation as pages."""

import io
from collections.abc import Iterator
from typing import Any

from lxml import etree
from pptx.enum.shapes import MSO_SHAPE_TYPE
from pptx.oxml.xmlchemy import OxmlElement
from pptx.package import Package

from app.domain.document import ParsedDocument
from ingestion.loaders.formula import linear
from ingestion.loaders.graphics import DGM, A, C, chart_tables, chart_title, diagram_items
from ingestion.loaders.grid import Cell, spread
from ingestion.loaders.numerals import numeral, whole
from ingestion.loaders.package import opened, refuse_entities, tree
from ingestion.loaders.pieces import Item, Pieces, listed
from ingestion.loaders.reader import StructureReader

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
KIND = "presentation"

_A14 = "{http://schemas.microsoft.com/office/drawing/2010/main}"
_FORMS = {"alphaLc": "a", "alphaUc": "A", "romanLc": "i", "romanUc": "I"}
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"


class PptxReader(StructureReader):
    """Reads presentations through python-pptx; images are left out, of charts are read the numbers."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """A page for each slide: its title as a heading, its text as a list, its tables and graphics, its notes."""
        with opened(data, KIND) as package:
            refuse_entities(package, KIND)
        # what `Presentation` opens, but templates and shows too
        presentation, pieces = Package.open(io.BytesIO(data)).main_document_part.presentation, Pieces()
        for number, slide in enumerate(presentation.slides, start=1):
            pieces.page()
            _choose(slide.shapes.element)
            title = slide.shapes.title
            pieces.heading(2, (title.text_frame.text if title is not None else "") or f"Slide {number}")
            for shape in _shapes(slide.shapes):
                if title is not None and shape.shape_id == title.shape_id:
                    continue
                if shape.has_text_frame:
                    pieces.block(listed(_items(shape.text_frame)))
                elif getattr(shape, "has_table", False):
                    pieces.table(_rows(shape.table))
                else:
                    _write_graphic(shape, pieces)
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


def _choose(shapes: etree._Element) -> None:
    """Put what Office shows in the place of its alternatives, which python-pptx leaves out, and text of equations."""
    for alternatives in list(shapes.iter(f"{_MC}AlternateContent")):
        chosen = alternatives.find(f"{_MC}Choice")
        for child in reversed(chosen if chosen is not None else ()):
            alternatives.addnext(child)
        alternatives.getparent().remove(alternatives)
    for formula in list(shapes.iter(f"{_A14}m")):
        run = OxmlElement("a:r")
        etree.SubElement(run, f"{A}t").text = linear(formula)
        formula.getparent().replace(formula, run)


def _rows(table: Any) -> Iterator[list[str]]:
    """The texts of a table's cells; what spans rows stands in each."""
    cells = ([cell for cell in row.cells if not cell.is_spanned] for row in table.rows)
    yield from spread([Cell(cell.text, cell.span_width, cell.span_height) for cell in row] for row in cells)


def _write_graphic(shape: Any, pieces: Pieces) -> None:
    for relation in shape.element.iter(f"{C}chart"):
        if (chart := _related(shape.part, relation.get(f"{_R}id"))) is not None:
            pieces.block(chart_title(chart))
            for table in chart_tables(chart):
                pieces.table(table)
    for relation in shape.element.iter(f"{DGM}relIds"):
        if (diagram := _related(shape.part, relation.get(f"{_R}dm"))) is not None:
            pieces.block(listed(diagram_items(diagram)))


def _related(part: Any, name: str | None) -> etree._Element | None:
    """The part of the package that `part` names so; None when there is none, or elsewhere."""
    relation = part.rels.get(name)
    return None if relation is None or relation.is_external else tree(relation.target_part.blob)


def _items(frame: Any) -> Iterator[Item]:
    """The paragraphs of a text, with the numbers that are set for themselves."""
    counts = dict[int, int]()
    for paragraph in frame.paragraphs:
        text, depth, properties = paragraph.text.replace("\v", " ").strip(), paragraph.level, paragraph._p.pPr
        numbered = properties.find(f"{A}buAutoNum") if properties is not None else None
        if not text:
            continue
        counts = {at: count for at, count in counts.items() if at < depth or (at == depth and numbered is not None)}
        if numbered is None:
            yield Item(depth, text)
        else:
            counts[depth] = counts[depth] + 1 if depth in counts else whole(numbered.get("startAt", ""), 1)
            yield Item(depth, text, _marker(counts[depth], numbered.get("type", "")))


def _marker(number: int, kind: str) -> str:
    """A number as a scheme of ECMA-376, part 1, 20.1.10.61 has it, such as `romanLcParenBoth`: `(iv)`."""
    text = numeral(number, next((form for scheme, form in _FORMS.items() if kind.startswith(scheme)), ""))
    return f"({text})" if kind.endswith("ParenBoth") else f"{text})" if kind.endswith("ParenR") else f"{text}."
