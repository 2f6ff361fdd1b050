"""Package: a ZIP archive that holds one document, opened once it is known to be safe to unpack."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from zipfile import BadZipFile, ZipFile

from lxml import etree

from app.domain.errors import DamagedFile, EncryptedFile, FileTooLarge

LARGEST_TEXT = 64 * 1024 * 1024  # bytes unpacked; a tree of it takes some 15 times that
_TEXTS = (".xml", ".rels", ".xhtml", ".html", ".htm", ".opf", ".ncx")


@contextmanager
def opened(data: bytes, kind: str) -> Iterator[ZipFile]:
    """The package; `kind` is what messages call it. Raises DamagedFile, EncryptedFile, FileTooLarge."""
    try:
        with ZipFile(io.BytesIO(data)) as package:
            parts = [part for part in package.infolist() if part.filename.lower().endswith(_TEXTS)]
            if any(part.flag_bits & 1 for part in parts):
                raise EncryptedFile
            if sum(part.file_size for part in parts) > LARGEST_TEXT:
                raise FileTooLarge(f"The {kind} unpacks to more than 64 MB of text; split it into several files.")
            yield package
    except (BadZipFile, KeyError, NotImplementedError) as error:
        raise DamagedFile(f"The {kind} is damaged ({error}); get a whole copy and ingest it again.") from error


def refuse_entities(package: ZipFile, kind: str) -> None:
    """Raise DamagedFile when a part defines XML entities, as no office program does."""
    for part in package.infolist():
        if part.filename.lower().endswith((".xml", ".rels")):
            xml = package.read(part).replace(b"\0", b"")  # so that UTF-16 hides nothing
            if b"<!DOCTYPE" in xml or b"<!ENTITY" in xml:
                raise DamagedFile(f"The {kind} defines XML entities, which no office program does; it was refused.")


def tree(xml: bytes) -> etree._Element:
    """The root of a part; nothing it refers to is read. Raises DamagedFile."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        return etree.fromstring(xml, parser)
    except etree.XMLSyntaxError as error:
        raise DamagedFile(f"A part of the file is not well-formed XML ({error}); get a whole copy.") from error
