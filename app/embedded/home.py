"""The home of the servers: what each of them needs to know to run."""

from collections.abc import Callable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from app.embedded.account import Account


@dataclass(frozen=True)
class Home:
    """A data folder with a folder for sockets, the account that the servers run as, and the lock that they inherit.

    While one of the servers lives the lock is taken, so that no others start on its data. `report` is told each step.
    """

    path: Path
    sockets: Path
    account: Account
    lock: FileIO
    report: Callable[[str], None]
