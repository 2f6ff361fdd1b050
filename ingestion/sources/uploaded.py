"""Uploaded: a file that came over the API."""

from dataclasses import dataclass
from pathlib import Path

from app.domain.errors import FileTooLarge
from app.domain.job import Upload
from ingestion.sources.source import Content, Vanished


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
        """The bytes; None when `known` is their hash. Raises FileTooLarge, Vanished."""
        stamp = self.upload.sha256.hex()
        if known == stamp:
            return None
        if self.upload.size_bytes > max_bytes:
            raise FileTooLarge(
                f"{self.upload.size_bytes:,} bytes are more than the limit of {max_bytes:,}; raise "
                "FOOTNOTE_MAX_FILE_BYTES to take it"
            )
        try:
            data = self.path.read_bytes()
        except FileNotFoundError as error:
            raise Vanished(
                "The uploaded file is not in the data folder of this worker; workers need the folder `uploads` of the "
                "server that took it. Upload it again."
            ) from error
        return Content(self.upload.name, data, stamp, self.upload.title, self.upload.metadata)
