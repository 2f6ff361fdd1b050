"""Sandbox worker: parses what comes on standard input, within limits, and answers on standard output.

`python -m ingestion.sandbox_worker MEMORY_BYTES MOST_CHARS`. Each message is its length in eight bytes and MessagePack.
"""

import os
import resource
import signal
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Literal, NamedTuple

import msgspec

from app.domain.document import ParsedDocument
from app.domain.errors import FileTooLarge, UnreadableFile
from ingestion.loaders.member import Member
from ingestion.loaders.recognition import WORKING
from ingestion.storable import storable_document, storable_text

PARSERS_BYTES = 512 * 1024**2  # what the parsers take before they see a file
_LENGTH = struct.Struct(">Q")


class Limits(NamedTuple):
    """Bytes of memory, and characters of a document's text."""

    memory_bytes: int
    most_chars: int


Wanted = Literal["load", "members"]


class Answer(msgspec.Struct):
    """The document or the files in it, or which error of `app.domain.errors` it is, and why.

    One that is `working` says no more than that a long piece of work has got on; another one follows.
    """

    document: ParsedDocument | None = None
    members: Sequence[Member] = ()
    error: str = ""
    message: str = ""
    working: bool = False


def send(stream: IO[bytes], message: bytes) -> None:
    """Write one message."""
    stream.write(_LENGTH.pack(len(message)))
    stream.write(message)
    stream.flush()


def receive(stream: IO[bytes]) -> bytes:
    """Read one message. Raises EOFError when there is none, or not the whole of it."""
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    return _exactly(stream, length)


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def parse(what: Wanted, name: str, data: bytes, most_chars: int) -> Answer:
    """The answer to one file."""
    from ingestion.loaders.dispatch import load, members  # noqa: PLC0415 - the parent needs only the messages

    try:
        if what == "members":
            found = members(Path(name), data)
            return Answer(members=[Member(storable_text(one.name), one.data) for one in found])
        document = load(Path(name), data)
        if len(document.text) > most_chars:
            raise FileTooLarge(
                f"The file has more than {most_chars:,} characters of text; split it into several files."
            )
        return Answer(storable_document(document))
    except MemoryError:
        return Answer(error=FileTooLarge.__name__, message="The file needs too much memory to read; split it up.")
    except UnreadableFile as error:
        return Answer(error=type(error).__name__, message=error.message)


def main() -> None:
    """Answer until the input ends."""
    limits = Limits(*map(int, sys.argv[1:3]))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a parser prints is no answer
    WORKING.set(lambda: send(answers, msgspec.msgpack.encode(Answer(working=True))))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    most = limits.memory_bytes + PARSERS_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    while True:
        try:
            message = receive(sys.stdin.buffer)
            what, name, data = msgspec.msgpack.decode(message, type=tuple[Wanted, str, bytes])
            send(answers, msgspec.msgpack.encode(parse(what, name, data, limits.most_chars)))
        except (EOFError, BrokenPipeError):  # the parent has ended, or was killed
            return


if __name__ == "__main__":
    main()
