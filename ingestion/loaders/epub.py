"""EPUB: a book's chapters in reading order."""

import posixpath
from urllib.parse import unquote

from app.domain.document import ParsedDocument
from app.domain.errors import DamagedFile, EmptyFile
from ingestion.loaders.html import HtmlReader
from ingestion.loaders.package import opened, tree
from ingestion.loaders.pieces import Pieces
from ingestion.loaders.reader import StructureReader

MEDIA_TYPE = "application/epub+zip"
KIND = "book"
_DC = "{http://purl.org/dc/elements/1.1/}"
_OPF = "{http://www.idpf.org/2007/opf}"
_CONTAINER = "{urn:oasis:names:tc:opendocument:xmlns:container}"


class EpubReader(StructureReader):
    """Reads books without copy protection; the table of contents and images are left out."""

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
            items = {item.get("id"): item for item in book.iter(f"{_OPF}item")}
            for reference in book.iter(f"{_OPF}itemref"):
                item = items.get(reference.get("idref"))
                if item is None or "nav" in (item.get("properties") or "").split():
                    continue
                path = posixpath.normpath(posixpath.join(posixpath.dirname(where), unquote(item.get("href", ""))))
                try:
                    pieces.join(pages.parse(path, package.read(path)))
                except EmptyFile:  # a cover, for one
                    continue
        found = {field: book.findtext(f".//{_DC}{field}") or "" for field in ("title", "date", "language")}
        creators = ", ".join(creator.text for creator in book.iter(f"{_DC}creator") if creator.text)
        return pieces.document(
            name,
            MEDIA_TYPE,
            found["title"],
            author=creators,
            date=found["date"],
            language=found["language"],
        )
