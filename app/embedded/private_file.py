"""A private file: 0600, never reached through a symlink, of the same owner as its folder."""

import os
from pathlib import Path


def open_private(path: Path, flags: int) -> int:
    """Open a file of the data folder and return its descriptor; `flags` are those of `os.open`. Raises OSError.

    When root makes the file in another user's folder it is given to that user, who could not go on with it otherwise;
    a symlink which that user may have laid there is refused, or root would write to where it points.
    """
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    folder = path.parent.stat()
    if os.geteuid() == 0 and os.fstat(descriptor).st_uid != folder.st_uid:
        os.fchown(descriptor, folder.st_uid, folder.st_gid)
    return descriptor
