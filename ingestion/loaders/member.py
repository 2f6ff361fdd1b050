"""Member: a file within a file."""

from typing import NamedTuple


class Member(NamedTuple):
    """Its name within the file it came with, folders included, and its bytes."""

    name: str
    data: bytes
