"""Uploaded: a file that came over the API."""

from dataclasses import dataclass
from pathlib import Path

from app.domain.errors import EmptyFile
from app.domain.job import Upload
from ingestion.sources.source import Content, Vanished, refuse_larger


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """An upload, and where its bytes lie."""

    upload: Upload
    path: Path

    @property
    def uri(self) -> str:
        """The document's identity within its collection."""
        return self.upload.uri

    def read(self, *, max_bytes: int, known: str | None = None) -> Content | None:
        """The bytes; None when `known` is their hash. Raises EmptyFile, FileTooLarge, Vanished."""
        stamp = self.upload.sha256.hex()
        if known == stamp:
            return None
        refuse_larger(self.upload.size_bytes, max_bytes)
        try:
            data = self.path.read_bytes()
        except FileNotFoundError as error:
            raise Vanished(
                "The uploaded file is not in the data folder of this worker; workers need the folder `uploads` of the "
                "server that took it. Upload it again."
            ) from error
        if not data.strip():
            raise EmptyFile
        return Content(self.upload.name, data, stamp, self.upload.title, self.upload.metadata)
