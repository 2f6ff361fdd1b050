"""Files: which files a path stands for."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from app.domain.errors import FileTooLarge, InvalidInput, UnreadableFile
from ingestion.loaders.dispatch import supported


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to be ingested, known by its absolute `file://` URI."""

    path: Path

    @property
    def uri(self) -> str:
        """The document's identity within its collection."""
        return self.path.as_uri()

    def read(self, *, max_bytes: int) -> bytes:
        """The file's bytes. Raises FileTooLarge, UnreadableFile."""
        try:
            size = self.path.stat().st_size
            if size > max_bytes:
                raise FileTooLarge(
                    f"{size:,} bytes are more than the limit of {max_bytes:,}; raise FOOTNOTE_MAX_FILE_BYTES to take it"
                )
            return self.path.read_bytes()
        except OSError as error:
            raise UnreadableFile(f"{error.strerror or error}; check the file's permissions") from error


def find_files(paths: Iterable[Path]) -> list[SourceFile]:
    """The files named, and in folders those of a supported format, sorted; hidden ones and links out are left out.

    Raises InvalidInput for a path that is not there.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if not path.exists():
            raise InvalidInput(f"{path}: there is no such file or folder")
        root = path.resolve()
        for file in sorted(_below(root)) if root.is_dir() else [root]:
            found.setdefault(file)
    return [SourceFile(path) for path in found]


def _below(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.is_file() and not path.is_symlink() and supported(path):
            yield path
