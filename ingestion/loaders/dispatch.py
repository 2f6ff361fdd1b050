"""Dispatch: a file's bytes to the loader that reads them."""

import importlib
from pathlib import Path

from app.domain.document import ParsedDocument
from app.domain.errors import DamagedFile, EmptyFile, UnreadableFile
from ingestion.loaders.formats import SUFFIXES, Format, detect
from ingestion.loaders.reader import StructureReader


def supported(path: Path) -> bool:
    """Whether a file found in a folder is taken; a file that is named explicitly goes by its content instead."""
    return path.suffix.lower() in SUFFIXES


def load(path: Path, data: bytes, *, reader: StructureReader | None = None) -> ParsedDocument:
    """The document in `data`, the bytes of `path`; `reader` (see `PluggedReader`) overrides the choice by content.

    Raises EmptyFile, EncryptedFile, DamagedFile, FileTooLarge, UnsupportedFormat; nothing else escapes.
    """
    if not data.strip():
        raise EmptyFile
    kind = "file"
    try:
        if reader is None:
            format_ = detect(path, data)
            kind, reader = format_.name, _reader(format_)
        document = reader.parse(path.name, data)
    except (UnreadableFile, ImportError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DamagedFile(f"The {kind} cannot be read ({reason}); get a whole copy and ingest it again.") from error
    if not document.text.strip():
        raise EmptyFile
    return document


def _reader(format_: Format) -> StructureReader:
    module, name = format_.reader.split(":")
    reader: StructureReader = getattr(importlib.import_module(module), name)()
    return reader
