"""Member: a file within a file."""

from typing import NamedTuple


class Member(NamedTuple):
    """Its name within the file it came with, folders included, and its bytes.

    One that is a record has a file name that it is read as (`called`), its text's media type, and where they are known
    a title and metadata.
    """

    name: str
    data: bytes
    called: str | None = None
    title: str | None = None
    metadata: dict[str, object] | None = None
    media_type: str | None = None
