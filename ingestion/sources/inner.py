"""Inner: a file that is in another one: in an archive, attached to a mail, or a record of JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from app.domain.document import MEMBER
from app.domain.errors import FileTooLarge
from ingestion.loaders.json_fields import JsonFields
from ingestion.loaders.member import Member
from ingestion.sources.source import Content, refuse_larger

DEEPEST = 3  # files within files


@dataclass(frozen=True, slots=True)
class InnerFile:
    """A file in the one at the URI `within`."""

    within: str
    member: Member
    json_fields: JsonFields | None = None

    @property
    def uri(self) -> str:
        """The document's identity within its collection."""
        return f"{self.within}{MEMBER}{self.member.name}"

    @property
    def depth(self) -> int:
        """In how many files it is."""
        return self.uri.count(MEMBER)

    def read(self, *, max_bytes: int, known: str | None = None) -> Content | None:
        """The bytes. Raises FileTooLarge."""
        refuse_larger(len(self.member.data), max_bytes)
        one, fields = self.member, self.json_fields
        name = one.called or PurePosixPath(one.name).name
        inside = None if fields is None else fields.within(name)
        return Content(name, one.data, None, one.title, one.metadata or {}, inside, one.media_type)


def inner_files(within: str, members: Sequence[Member], json_fields: JsonFields | None = None) -> list[InnerFile]:
    """What is in the file at the URI `within`. Raises FileTooLarge when that is deeper than DEEPEST."""
    inner = [InnerFile(within, member, json_fields) for member in members]
    if inner and inner[0].depth > DEEPEST:
        raise FileTooLarge(f"Files within files are taken {DEEPEST} deep; unpack the outer ones.")
    return inner
