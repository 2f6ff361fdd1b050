"""The folder of the servers' sockets: private, and short enough for a socket's address."""

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.domain.errors import FolderNotWritable
from app.embedded.account import Account

POSTGRES_PORT = 5432  # part of the socket's name only: nothing listens on TCP
VALKEY_SOCKET = "valkey.sock"
_POSTGRES_SOCKET = f".s.PGSQL.{POSTGRES_PORT}"  # the longest name here
_NAMES = (_POSTGRES_SOCKET, f"{_POSTGRES_SOCKET}.lock", VALKEY_SOCKET)


@contextmanager
def socket_folder(data_dir: Path, account: Account) -> Iterator[Path]:
    """Yield an empty 0700 folder for the account's sockets: `sockets` in the data folder where sockets work there.

    They do not where the path is too long (about 100 bytes) or on some mounted file systems; then `sockets` is a
    symlink to a folder of random name in the system's temporary one. Raises FolderNotWritable if they work in
    neither, and OSError.
    """
    link = data_dir / "sockets"
    _clear(link)  # after a kill -9
    folder = link
    link.mkdir(mode=0o700)
    try:
        if not _sockets_work_in(link):
            folder = _temporary_folder()
            link.rmdir()
            link.symlink_to(folder)
        account.give(folder)
        yield folder
    finally:
        _clear(link)


def _temporary_folder() -> Path:
    for parent in dict.fromkeys((tempfile.gettempdir(), "/tmp")):  # noqa: S108  mkdtemp's name is random, its mode 0700
        folder = Path(tempfile.mkdtemp(prefix="footnote-", dir=parent))
        if _sockets_work_in(folder):
            return folder
        folder.rmdir()
    raise FolderNotWritable(
        "Unix sockets work neither in the data folder nor in the temporary one; choose another folder with --data-dir."
    )


def _sockets_work_in(folder: Path) -> bool:
    """Try it: the limit of the path's length and the file system's abilities differ between systems."""
    if "," in str(folder):  # libpq and PostgreSQL take a comma for the end of the path
        return False
    path = folder / _POSTGRES_SOCKET
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.bind(os.fsencode(path))
        except OSError:
            return False
    path.unlink()
    return True


def _clear(link: Path) -> None:
    """Remove the folder, wherever it is, and what the servers left there."""
    for name in _NAMES:
        with suppress(FileNotFoundError):
            (link / name).unlink()
    if link.is_symlink():
        with suppress(FileNotFoundError):
            link.readlink().rmdir()
        link.unlink()
    elif link.is_dir():
        link.rmdir()
