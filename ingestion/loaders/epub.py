"""EPUB: a book's chapters in reading order."""

import posixpath
from dataclasses import replace
from urllib.parse import unquote

from lxml import etree

from app.domain.document import ParsedDocument
from app.domain.errors import DamagedFile, EmptyFile
from ingestion.loaders.epub_contents import contents, with_headings
from ingestion.loaders.html import HtmlReader
from ingestion.loaders.package import opened, tree
from ingestion.loaders.pieces import Pieces
from ingestion.loaders.reader import StructureReader
from ingestion.loaders.title import choose_title

MEDIA_TYPE = "application/epub+zip"
KIND = "book"
_DC = "{http://purl.org/dc/elements/1.1/}"
_OPF = "{http://www.idpf.org/2007/opf}"
_CONTAINER = "{urn:oasis:names:tc:opendocument:xmlns:container}"


class EpubReader(StructureReader):
    """Reads books without copy protection; images are left out, the contents make headings where there are none."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """The chapters of the spine as web pages are read, footnotes and boxes too, one after the other."""
        pieces, pages = Pieces(), HtmlReader(book=True)
        with opened(data, KIND) as package:
            container = tree(package.read("META-INF/container.xml"))
            rootfile = container.find(f".//{_CONTAINER}rootfile")
            if rootfile is None:
                raise DamagedFile("The book does not say where its contents are; get a whole copy.")
            where = rootfile.get("full-path", "")
            book = tree(package.read(where))
            items = {_path(where, item): item for item in book.iter(f"{_OPF}item")}
            paths = {item.get("id"): path for path, item in items.items()}
            entries = contents(package, items)
            for reference in book.iter(f"{_OPF}itemref"):
                path = paths.get(reference.get("idref"))
                if path is None or "nav" in (items[path].get("properties") or "").split():
                    continue
                page = package.read(path)
                try:
                    pieces.join(pages.parse(path, with_headings(page, entries[path]) if path in entries else page))
                except EmptyFile:  # a cover, for one
                    continue
        found = {field: book.findtext(f".//{_DC}{field}") or "" for field in ("title", "date", "language")}
        creators = ", ".join(creator.text for creator in book.iter(f"{_DC}creator") if creator.text)
        document = pieces.document(
            name,
            MEDIA_TYPE,
            found["title"],
            author=creators,
            date=found["date"],
            language=found["language"],
        )
        if found["title"].strip():  # of the book, and not that of its first chapter
            document = replace(document, title=choose_title("", (), found["title"], name))
        return document


def _path(where: str, item: etree._Element) -> str:
    """The path of an item in the package, whose description is at `where`."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(where), unquote(item.get("href", ""))))
