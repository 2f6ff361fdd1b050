"""Graphics: what charts and diagrams of Office say (DrawingML, ECMA-376, part 1, 21.2 and 21.4)."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime

from lxml import etree
from openpyxl.styles.numbers import is_date_format
from openpyxl.utils.datetime import from_excel

from ingestion.loaders.number_format import shown
from ingestion.loaders.numerals import whole
from ingestion.loaders.pieces import Item

A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
DGM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}"
_DEEPEST = 6  # levels of a diagram; deeper ones stand at the last


def chart_title(chart: etree._Element) -> str:
    """The title of a chart part; empty when it has none of its own."""
    title = chart.find(f".//{C}chart/{C}title")
    return _paragraphs(title) if title is not None else ""


def chart_tables(chart: etree._Element) -> Iterator[list[list[str]]]:
    """Of each plot over categories a table: a row for each category, a column for each series; of points none."""
    for plot in chart.iterfind(f".//{C}plotArea/*"):
        series = [one for one in plot.iterfind(f"{C}ser") if one.find(f"{C}val") is not None]
        if not series:
            continue
        said = ("".join(_points(one.find(f"{C}tx")).values()) for one in series)
        names = [name or f"Series {number}" for number, name in enumerate(said, start=1)]  # as Office calls them
        labels = _points(next((cat for one in series if (cat := one.find(f"{C}cat")) is not None), None))
        values = [_points(one.find(f"{C}val")) for one in series]
        places = sorted(set(labels).union(*values))
        yield [["", *names], *([labels.get(at, ""), *(value.get(at, "") for value in values)] for at in places)]


def _points(element: etree._Element | None) -> dict[int, str]:
    """By their number what points say, numbers as their format shows them; of several levels of categories all."""
    said = defaultdict[int, list[str]](list)
    code = "" if element is None else element.findtext(f".//{C}formatCode") or ""
    for point in [] if element is None else element.iter(f"{C}pt"):
        at, text = point.get("idx", ""), point.findtext(f"{C}v") or ""
        if at.isdecimal() and text:
            said[int(at)].insert(0, _shown(text, point.get("formatCode") or code) if code else text)
    return {at: " ".join(texts) for at, texts in said.items()}


def _shown(number: str, code: str) -> str:
    try:
        value = float(number)
        if is_date_format(code):
            day = from_excel(value)
            return day.date().isoformat() if isinstance(day, datetime) else str(day)
        return shown(value, code) or f"{value:.15g}"
    except (ValueError, OverflowError):
        return number


def diagram_items(diagram: etree._Element) -> Iterator[Item]:
    """The texts of a diagram's data part (SmartArt)."""
    nodes = {node.get("modelId"): node for node in diagram.iter(f"{DGM}pt")}
    below = defaultdict[str | None, list[tuple[int, str | None]]](list)
    for connection in diagram.iter(f"{DGM}cxn"):
        if connection.get("type", "parOf") == "parOf":
            order = whole(connection.get("srcOrd", ""), 0)
            below[connection.get("srcId")].append((order, connection.get("destId")))
    waiting = [(0, name) for name, node in reversed(nodes.items()) if node.get("type") == "doc"]
    while waiting:
        depth, name = waiting.pop()
        node = nodes.pop(name, None)
        text = node.find(f"{DGM}t") if node is not None else None
        said = "" if text is None else _paragraphs(text)
        if said:
            yield Item(depth, said)
        children = sorted(below.pop(name, []), key=lambda child: child[0], reverse=True)
        waiting += [(min(depth + bool(said), _DEEPEST), child) for _, child in children]


def _paragraphs(element: etree._Element) -> str:
    lines = ("".join(text.text or "" for text in one.iter(f"{A}t")) for one in element.iter(f"{A}p"))
    return " ".join(" ".join(line.split()) for line in lines if line.strip())
