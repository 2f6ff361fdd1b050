"""A lock on a file: held by a process and those that inherit it, freed by the kernel however they die."""

import fcntl
import os
import time
from io import FileIO
from pathlib import Path

from app.embedded.private_file import open_private

_POLL_S = 0.02


def take_lock(path: Path, patience_s: float) -> FileIO | None:
    """Lock the file exclusively; None if another process holds it for all of `patience_s`. Raises OSError.

    Closing the returned file frees the lock. A child made by `fork` alone (multiprocessing) lets go of it at once, or
    it would outlive its owner; a program started with the descriptor in `pass_fds` shares it.
    """
    file = FileIO(open_private(path, os.O_RDWR | os.O_CREAT), "r+")
    deadline = time.monotonic() + patience_s
    while not _lock(file, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            file.close()
            return None
        time.sleep(_POLL_S)
    os.register_at_fork(after_in_child=file.close)
    return file


def is_locked(path: Path) -> bool:
    """Whether some process holds the lock; False when there is no such file. Raises OSError when it cannot be read."""
    try:
        file = FileIO(open_private(path, os.O_RDONLY), "r")
    except FileNotFoundError:
        return False
    with file:
        return not _lock(file, fcntl.LOCK_SH)


def _lock(file: FileIO, kind: int) -> bool:
    """Take the lock if it is free."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
