"""Place: where files are parsed and texts embedded: in this process, or on other machines."""

import asyncio
from types import TracebackType
from typing import Protocol

from app.domain.ports import Embedder
from ingestion.parsing import Contents, Cutting, parse
from ingestion.sandbox import Sandbox
from ingestion.sources.source import Content


class Place(Protocol):
    """Parses and embeds: `parsers` files and `embedders` batches at a time are worth giving to it."""

    @property
    def parsers(self) -> int:
        """How many files it parses at a time."""
        ...

    @property
    def embedders(self) -> int:
        """How many batches it embeds at a time."""
        ...

    @property
    def embedder(self) -> Embedder:
        """Embeds batches there."""
        ...

    async def parse(self, content: Content, cutting: Cutting) -> Contents:
        """Read a file. Raises UnreadableFile, Unavailable."""
        ...


class Here:
    """This process and its sandbox; a context manager. The embedder stays its owner's."""

    parsers = 1
    embedders = 1

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self._sandbox = Sandbox()

    def __enter__(self) -> "Here":
        self._sandbox.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sandbox.__exit__(kind, error, trace)

    async def parse(self, content: Content, cutting: Cutting) -> Contents:
        """Read a file. Raises UnreadableFile."""
        return await asyncio.to_thread(parse, content, cutting, self._sandbox)
