"""Sandbox: files are parsed in a process of their own, with limits, so that a hostile one costs itself alone.

Texts that need no parser but ours (Markdown, reStructuredText, code, tables of text) are read in this process: they
cannot crash it, and the other process takes seconds to start. What comes back is decoded as data, never as code.
"""

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import msgspec

from app.domain import errors
from app.domain.document import ParsedDocument
from app.domain.errors import DamagedFile, FileTooLarge, UnreadableFile
from ingestion.loaders.dispatch import load
from ingestion.loaders.formats import ASCIIDOC, CODE, CSV, JSON, MARKDOWN, NOTEBOOK, ORG, PLAIN, RST, detect
from ingestion.loaders.member import Member
from ingestion.loaders.recognition import MOST_PAGES
from ingestion.sandbox_worker import Answer, Limits, Wanted, receive, send

OWN = {MARKDOWN, RST, ASCIIDOC, ORG, PLAIN, CODE, CSV, JSON, NOTEBOOK}
TIMEOUT_S = 120.0
MEMORY_BYTES = 2 * 1024**3
MOST_CHARS = 50_000_000


class Sandbox:
    """Parses one file at a time; a context manager. The process starts with the first file that needs it."""

    def __init__(
        self, *, timeout_s: float = TIMEOUT_S, memory_bytes: int = MEMORY_BYTES, most_chars: int = MOST_CHARS
    ) -> None:
        """For each file: seconds, bytes of memory beside what the parsers take by themselves, characters of text.

        A page that has to be recognised has as many seconds of its own.
        """
        self._timeout_s = timeout_s
        self._limits = Limits(memory_bytes, most_chars)
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._end()

    def load(self, path: Path, data: bytes) -> ParsedDocument:
        """As `ingestion.loaders.dispatch.load`: raises UnreadableFile's kinds and nothing else.

        A file that crashes its parser is a DamagedFile; one over a limit a FileTooLarge.
        """
        if data.strip() and detect(path, data) in OWN:
            return load(path, data)
        answer = self._answer("load", path, data)
        assert answer.document is not None  # noqa: S101 - no error
        return answer.document

    def members(self, path: Path, data: bytes) -> Sequence[Member]:
        """As `ingestion.loaders.dispatch.members`, with the errors of `load`."""
        if detect(path, data).members is None:
            return []
        return self._answer("members", path, data).members

    def _answer(self, what: Wanted, path: Path, data: bytes) -> Answer:
        with self._lock:
            answer = self._ask(what, path.name, data)
        if not answer.error:
            return answer
        kind = getattr(errors, answer.error, DamagedFile)
        raise kind(answer.message) if issubclass(kind, UnreadableFile) else DamagedFile(answer.message)

    def _ask(self, what: Wanted, name: str, data: bytes) -> Answer:
        process = self._started()
        assert process.stdin is not None  # noqa: S101 - pipes
        assert process.stdout is not None  # noqa: S101
        late = threading.Event()
        try:
            for number in range(MOST_PAGES + 2):
                with self._limited(process, late):
                    if number == 0:
                        send(process.stdin, msgspec.msgpack.encode((what, name, data)))
                    answer = msgspec.msgpack.decode(receive(process.stdout), type=Answer)
                if not answer.working:
                    return answer
            raise EOFError  # it works on and on
        except (EOFError, OSError, msgspec.MsgspecError) as error:
            self._end()
            if late.is_set():
                message = f"The file takes longer than {self._timeout_s:g} s to read; split it into several files."
                raise FileTooLarge(message) from error
            raise DamagedFile(
                "The file crashed its parser, so it was left out; get a whole copy or another format."
            ) from error

    @contextmanager
    def _limited(self, process: subprocess.Popen[bytes], late: threading.Event) -> Iterator[None]:
        """Kill the process, and say so, when this takes too long."""

        def expire() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(self._timeout_s, expire)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            command = [sys.executable, "-m", "ingestion.sandbox_worker", *map(str, self._limits)]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
