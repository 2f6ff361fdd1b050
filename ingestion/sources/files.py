"""Files: documents in files and folders."""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

from app.domain.errors import EmptyFile, InvalidInput, SourceUnavailable, UnreadableFile
from ingestion.loaders.dispatch import supported
from ingestion.loaders.json_fields import JsonFields
from ingestion.sources.source import Content, Vanished, refuse_larger

IGNORE_FILE = ".footnoteignore"
_SETTLED_NS = 1_000_000_000  # a file written this recently may change again without another size or time


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to be ingested, known by its absolute `file://` URI."""

    path: Path
    json_fields: JsonFields | None = None

    @property
    def uri(self) -> str:
        """The document's identity within its collection."""
        return self.path.as_uri()

    def read(self, *, max_bytes: int, known: str | None = None) -> Content | None:
        """The file's bytes, None when size and time are those of the stamp `known`.

        Raises FileTooLarge, Vanished, UnreadableFile; that also for one that was emptied just now: whoever writes it
        may be about to.
        """
        try:
            before = self.path.stat()
            if known is not None and known == self._stamp(before):
                return None
            refuse_larger(before.st_size, max_bytes)
            data = self.path.read_bytes()
            after = self.path.stat()
        except FileNotFoundError as error:
            raise Vanished("The file was deleted meanwhile.") from error
        except OSError as error:
            raise UnreadableFile(f"{error.strerror or error}; check the file's permissions") from error
        settled = time.time_ns() - after.st_mtime_ns > _SETTLED_NS and self._stamp(before) == self._stamp(after)
        if not data.strip() and not settled:
            raise EmptyFile("There is no text in the file, which was written just now; run it again when it is whole.")
        stamp = self._stamp(after) if settled else None
        return Content(_name(self.path), data, stamp, json_fields=self.json_fields)

    def _stamp(self, status: os.stat_result) -> str:
        read_as = "" if self.json_fields is None else f":{self.json_fields.mark}"
        return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}{read_as}"


def _name(path: Path) -> str:
    """The file's name in Unicode; names may be bytes in any encoding, which its URI keeps."""
    return os.fsencode(path.name).decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class FileSource:
    """Files, and what is in folders: of a supported format, or whatever `include` names.

    `include` and `exclude` are patterns as in a .gitignore file, relative to each folder, as are those in files named
    `.footnoteignore` for the folder they stand in. Hidden files and symbolic links are left out. With `json_fields`
    each record of a JSON file becomes a document.
    """

    paths: Sequence[Path]
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    json_fields: JsonFields | None = None

    def items(self) -> list[SourceFile]:
        """The files, folder by folder.

        Raises SourceUnavailable for a path that is not there, cannot be read, or is neither a file nor a folder.
        """
        found: dict[Path, None] = {}
        for path in self.paths:
            if not path.exists():
                raise SourceUnavailable(f"{path}: there is no such file or folder; nothing was changed.")
            if not path.is_dir() and not path.is_file():  # reading a pipe would never end
                raise SourceUnavailable(f"{path} is neither a file nor a folder; nothing was changed.")
            root = path.resolve()
            for file in self._below(root) if root.is_dir() else [root]:
                found.setdefault(file)
        fields = self.json_fields
        return [SourceFile(path, fields and fields.within(path.name)) for path in found]

    def close(self) -> None:
        """Nothing is held."""

    def _below(self, root: Path) -> Iterator[Path]:
        include = GitIgnoreSpec.from_lines(self.include) if self.include else None
        exclude = GitIgnoreSpec.from_lines(self.exclude)
        ignoring: list[tuple[Path, GitIgnoreSpec]] = []
        for name, folders, files in os.walk(root, onerror=_refuse):
            folder = Path(name)
            ignoring = [(place, spec) for place, spec in ignoring if folder.is_relative_to(place)]
            if IGNORE_FILE in files:
                ignoring.append((folder, _ignore_file(folder / IGNORE_FILE)))
            specs = [(root, exclude), *ignoring]
            folders[:] = sorted(f for f in folders if not f.startswith(".") and not _ignored(folder / f, specs, "/"))
            for path in sorted(folder / file for file in files if not file.startswith(".")):
                wanted = include.match_file(path.relative_to(root)) if include else supported(path)
                if wanted and not _ignored(path, specs) and not path.is_symlink() and path.is_file():
                    yield path


def _ignored(path: Path, specs: Sequence[tuple[Path, GitIgnoreSpec]], slash: str = "") -> bool:
    """The innermost file that has something to say decides, as with git; `slash` marks a folder."""
    for place, spec in reversed(specs):
        verdict = spec.check_file(path.relative_to(place).as_posix() + slash).include
        if verdict is not None:
            return verdict
    return False


def _ignore_file(path: Path) -> GitIgnoreSpec:
    try:
        return GitIgnoreSpec.from_lines(path.read_text(encoding="utf-8-sig").splitlines())
    except (OSError, ValueError) as error:
        raise SourceUnavailable(f"{path} cannot be used ({error}); nothing was changed.") from error


def _refuse(error: OSError) -> None:
    raise SourceUnavailable(f"{error.filename}: {error.strerror}; nothing was changed.") from error


def find_files(paths: Iterable[Path], json_fields: JsonFields | None = None) -> list[SourceFile]:
    """The files named, and in folders those of a supported format. Raises InvalidInput for a path that is not there."""
    try:
        return FileSource(list(paths), json_fields=json_fields).items()
    except SourceUnavailable as error:
        raise InvalidInput(error.message) from error
