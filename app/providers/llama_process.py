"""Llama process: the owner's end of `llama_worker`, with the requests that wait for its replies."""

import asyncio
import contextlib
import itertools
import json
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.domain.errors import ProviderUnavailable

_SCRIPT = Path(__file__).with_name("llama_worker.py")
_STOP_S = 5


@dataclass
class Request:
    """One answer that the process was asked for, and what it replied so far."""

    id: int
    loop: asyncio.AbstractEventLoop
    # Not bounded by itself: an answer's tokens are, by max_tokens, and a slow reader must not hold up the others.
    replies: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    ended: bool = False

    def deliver(self, reply: dict[str, Any]) -> None:
        """Hand over a reply; called by the reading thread."""
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            self.loop.call_soon_threadsafe(self.replies.put_nowait, reply)

    async def next_chunk(self) -> dict[str, Any] | None:
        """The next chunk, or None at the end. Raises ProviderUnavailable when the process died."""
        reply = await self.replies.get()
        if "chunk" in reply:
            chunk: dict[str, Any] = reply["chunk"]
            return chunk
        self.ended = True
        if "died" in reply:
            raise ProviderUnavailable(reply["died"])
        return None


class LlamaProcess:
    """The process, the thread that reads its replies, and the requests that wait for them."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._path = options["path"]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the reading thread
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_SCRIPT), json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C in a terminal is for the server, which then ends this
        )
        self._requests: dict[int, Request] = {}
        self._ids = itertools.count(1)
        self._loaded: Future[str | None] = Future()
        self._stopping = False
        self._reader = threading.Thread(target=self._read, name="local-chat-reader", daemon=True)
        self._reader.start()

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    async def wait_loaded(self) -> str | None:
        """None once the model is loaded, or the reason why it cannot be."""
        return await asyncio.shield(asyncio.wrap_future(self._loaded))

    def start(self, body: dict[str, Any]) -> Request:
        """Ask for an answer. Raises ProviderUnavailable when the process is gone."""
        request = Request(next(self._ids), asyncio.get_running_loop())
        self._requests[request.id] = request
        if not self._send({"id": request.id, "body": body}):
            del self._requests[request.id]
            raise ProviderUnavailable(self._obituary())
        return request

    async def finish(self, request: Request) -> None:
        """Cancel a request that has not ended, and wait until it has."""
        try:
            if not request.ended and self._send({"cancel": request.id}):
                with contextlib.suppress(ProviderUnavailable):  # a dead process generates nothing either
                    while await request.next_chunk() is not None:
                        pass
        finally:
            self._requests.pop(request.id, None)

    def stop(self) -> None:
        """End the process and its reading thread; blocks for as long as that takes."""
        self._stopping = True
        if self._process.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        if not self._loaded.done():
            self._process.kill()  # while it loads it does not listen, and there is nothing to lose
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reader.join()

    def _send(self, message: dict[str, Any]) -> bool:
        """Whether the process took the message. The process always reads, so this does not block the event loop."""
        stdin = self._process.stdin
        if stdin is None or stdin.closed:
            return False
        try:
            stdin.write(json.dumps(message).encode() + b"\n")
            stdin.flush()
        except (BrokenPipeError, ValueError):  # ValueError: closed meanwhile by the reading thread
            return False
        return True

    def _read(self) -> None:
        """Deliver replies until the process ends, then tell everyone who waits."""
        failure = None
        with self._process, self._log:
            for line in self._process.stdout or ():
                reply = json.loads(line)
                if "loaded" in reply:
                    self._loaded.set_result(None)
                elif "failed" in reply:
                    failure = reply["failed"]
                elif request := self._requests.get(reply["id"]):
                    request.deliver(reply)
            self._process.wait()
            obituary = self._obituary(failure)
            if not self._loaded.done():
                self._loaded.set_result(obituary)
        for request in list(self._requests.values()):
            request.deliver({"died": obituary})

    def _obituary(self, failure: str | None = None) -> str:
        if self._stopping:
            return "The local model was shut down."
        if failure:
            return (
                f"llama.cpp cannot load {self._path} ({self._complaint() or failure}). Is it a whole GGUF file of a "
                "chat model, and is there memory enough? See FOOTNOTE_CHAT_MODEL and FOOTNOTE_CHAT_CONTEXT_TOKENS."
            )
        code = self._process.poll()
        if code == -signal.SIGILL:
            return "The local model needs a processor with AVX2; set FOOTNOTE_CHAT_MODEL to a provider's model instead."
        return f"The local model's process ended unexpectedly (code {code}); it starts again with the next question."

    def _complaint(self) -> str:
        """What llama.cpp complained of first, without its time and place."""
        self._log.seek(0)
        first, _, _ = self._log.read().decode(errors="replace").strip().partition("\n")
        return first.split(": ", 1)[-1].strip()
