"""The record: what the owner of a data folder tells other processes about itself and its services."""

import os
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

import msgspec

from app.domain.errors import FolderInUse, FolderNotWritable
from app.embedded.lock import is_locked
from app.embedded.private_file import open_private

OWNER_LOCK = "owner.lock"
_FILE = "owner.json"


@dataclass(frozen=True)
class Endpoints:
    """Where the two services are: a libpq URL (`postgresql://…`) and a Redis URL (`unix://…`)."""

    database_url: str
    redis_url: str


@dataclass(frozen=True)
class Owner:
    """The process that owns a data folder; `address` is the URL of its page once it has one."""

    pid: int
    command: str
    started_at: datetime
    address: str | None = None

    def __str__(self) -> str:
        parts = [self.command, self.address, f"since {self.started_at:%Y-%m-%d %H:%M} UTC"]
        return f"process {self.pid} ({', '.join(part for part in parts if part)})"


@dataclass(frozen=True)
class _Record:
    owner: Owner
    endpoints: Endpoints | None = None


def owner_of(data_dir: Path) -> Owner | None:
    """The live process that owns the folder, or None. Raises FolderNotWritable if the folder is another user's."""
    record = _read(data_dir)
    return record.owner if record else None


def running_endpoints(data_dir: Path) -> Endpoints | None:
    """The services of the live process that owns the folder, once they are ready; None if there is no such process.

    Raises FolderNotWritable if the folder is another user's.
    """
    record = _read(data_dir)
    return record.endpoints if record else None


def record_address(data_dir: Path, url: str) -> None:
    """Tell other processes where this process, the folder's owner, serves its page. Raises FolderInUse if it is not."""
    record = _read(data_dir)
    if record is None or record.owner.pid != os.getpid():
        raise FolderInUse(f"This process does not own the folder {data_dir}, so it cannot record an address there.")
    _write(data_dir, replace(record, owner=replace(record.owner, address=url)))


def record_owner(data_dir: Path, endpoints: Endpoints | None = None) -> None:
    """Write the record of this process, the folder's owner; with endpoints once they are ready. Raises OSError."""
    # The command without its options: they may hold secrets.
    name, *arguments = [Path(sys.argv[0]).name, *sys.argv[1:2]]
    command = " ".join([name, *(argument for argument in arguments if not argument.startswith("-"))])
    _write(data_dir, _Record(Owner(os.getpid(), command, datetime.now(UTC)), endpoints))


def erase_record(data_dir: Path) -> None:
    """Remove the record; the owner does so before it lets go of the folder."""
    (data_dir / _FILE).unlink(missing_ok=True)


def _read(data_dir: Path) -> _Record | None:
    """The live owner's record: the lock tells whether there is one, the file only what it says."""
    try:
        if not is_locked(data_dir / OWNER_LOCK):
            return None
        return msgspec.json.decode((data_dir / _FILE).read_bytes(), type=_Record)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None  # its owner has only just started, or is stopping
    except OSError as error:
        raise FolderNotWritable(
            f"The folder {data_dir} cannot be read ({error.strerror}); run this as the user who owns it, "
            "or choose another with --data-dir."
        ) from error


def _write(data_dir: Path, record: _Record) -> None:
    """Replace the record in one step, so that no reader sees half of it."""
    draft = data_dir / f"{_FILE}.new"
    with FileIO(open_private(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "w") as file:
        file.write(msgspec.json.encode(record))
    draft.replace(data_dir / _FILE)
