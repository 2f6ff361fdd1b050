"""The data folder: one owner at a time, one set of servers at a time."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from app.domain.errors import FolderInUse, ServiceDidNotStart
from app.embedded.lock import take_lock
from app.embedded.record import OWNER_LOCK, erase_record, owner_of, record_owner

# Someone who asks whether the folder is owned holds its lock for microseconds; that is not an owner.
_OWNER_PATIENCE_S = 0.3
# Servers whose owner was killed stop within 3 s; a loaded machine may need longer.
_SERVERS_PATIENCE_S = 15


@dataclass(frozen=True)
class OwnedFolder:
    """The folder, and the lock that its servers inherit: while one of them lives, no others start on its data."""

    path: Path
    servers_lock: FileIO


@contextmanager
def owned_folder(data_dir: Path, report: Callable[[str], None]) -> Iterator[OwnedFolder]:
    """Make the folder if need be and own it. Raises FolderInUse, ServiceDidNotStart and OSError."""
    path = data_dir.resolve()
    _make(path)
    owner_lock = take_lock(path / OWNER_LOCK, _OWNER_PATIENCE_S)
    if owner_lock is None:
        raise FolderInUse(_in_use(path))
    with ExitStack() as stack:
        stack.enter_context(owner_lock)
        stack.callback(erase_record, path)
        record_owner(path)
        servers_lock = stack.enter_context(_take_servers_lock(path, report))
        yield OwnedFolder(path, servers_lock)


def _make(path: Path) -> None:
    """Make the folder. Others may pass through it (root's servers must), not list it; what it holds is private."""
    if not path.is_dir():
        path.mkdir(mode=0o711, parents=True)
        (path / ".gitignore").write_text("*\n")


def _in_use(path: Path) -> str:
    owner = owner_of(path)
    if owner is None:
        return f"The folder {path} is owned by another process, which is just stopping; try again shortly."
    return (
        f"The folder {path} is owned by {owner}. Use that one, stop it (`kill {owner.pid}`), "
        "or choose another folder with --data-dir (FOOTNOTE_DATA_DIR)."
    )


def _take_servers_lock(path: Path, report: Callable[[str], None]) -> FileIO:
    """Wait for the servers of an owner that was killed just now."""
    file = path / "servers.lock"
    lock = take_lock(file, 0)
    if lock is None:
        report("waiting for the services of the last run to stop")
        lock = take_lock(file, _SERVERS_PATIENCE_S)
    if lock is None:
        raise ServiceDidNotStart(
            f"Services of an earlier run still work on {path} though their owner is gone. "
            f"End them (`fuser -k {file}`) and start again; nothing is lost."
        )
    return lock
