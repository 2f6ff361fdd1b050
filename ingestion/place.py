"""Place: where files are parsed and texts embedded: in this process, or on other machines."""

import asyncio
import threading
from types import TracebackType
from typing import Protocol

from app.domain.ports import Embedder
from app.providers.local_embedder import LocalEmbedder
from ingestion import language
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
        self._loading = False

    def __enter__(self) -> "Here":
        self._sandbox.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sandbox.__exit__(kind, error, trace)

    async def parse(self, content: Content, cutting: Cutting) -> Contents:
        """Read a file. Raises UnreadableFile."""
        if not self._loading:
            self._loading = True
            self._load(cutting)
        return await asyncio.to_thread(parse, content, cutting, self._sandbox)

    def _load(self, cutting: Cutting) -> None:
        """Begin to load what the first document will need while it is read: side by side, half a second less."""
        if isinstance(self.embedder, LocalEmbedder):
            self.embedder.load()
        if cutting.text_search_config == "auto":
            threading.Thread(target=language.load, name="language").start()
