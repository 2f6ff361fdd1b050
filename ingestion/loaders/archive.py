"""Archive: the files in a ZIP archive, unpacked once it is known to be safe."""

import io
from collections.abc import Sequence
from zipfile import BadZipFile, ZipFile, ZipInfo

from app.domain.errors import DamagedFile, EncryptedFile, FileTooLarge
from ingestion.loaders.member import Member

MOST_FILES = 10_000
LARGEST = 256 * 1024 * 1024  # bytes of all files together
_IN_UTF8 = 0x800  # the flag that says so of a name
_TAKEN = 200  # times the archive's size, which no archive of documents reaches


def members(data: bytes) -> Sequence[Member]:
    """The files in an archive. Raises DamagedFile, EncryptedFile, FileTooLarge."""
    try:
        with ZipFile(io.BytesIO(data)) as archive:
            parts = [part for part in archive.infolist() if not part.is_dir()]
            size = sum(part.file_size for part in parts)
            if len(parts) > MOST_FILES:
                raise FileTooLarge(f"The archive has more than {MOST_FILES:,} files; split it into several.")
            if size > min(LARGEST, _TAKEN * len(data)):
                raise FileTooLarge(
                    f"The archive unpacks to {size / 1024**2:,.0f} MB, more than {LARGEST // 1024**2} MB or {_TAKEN} "
                    "times its own size; split it into several."
                )
            if any(part.flag_bits & 1 for part in parts):
                raise EncryptedFile("The archive is encrypted; unpack it and ingest the files.")
            return [Member(_name(part), archive.read(part)) for part in parts]
    except (BadZipFile, NotImplementedError, OSError, EOFError) as error:
        raise DamagedFile(f"The archive is damaged ({error}); get a whole copy and ingest it again.") from error


def _name(part: ZipInfo) -> str:
    """The name; many programs, macOS's for one, write UTF-8 without the flag that says so."""
    if part.flag_bits & _IN_UTF8:
        return part.filename
    try:
        return part.filename.encode("cp437").decode()
    except UnicodeError:
        return part.filename
