"""Llama worker: llama.cpp in a process of its own, spoken to over its pipes.

Loading holds the interpreter's lock for as long as it takes (0.3 s for the packaged model, many seconds for a large
one), and a damaged file or an old processor ends the whole process; neither may happen to the server. Requests come as
lines of JSON on standard input, answers leave as lines of JSON on standard output:

    → {"id": 1, "body": {…}}   ← {"loaded": true} | {"failed": "…"}
    → {"cancel": 1}            ← {"id": 1, "chunk": {…}}, …, {"id": 1, "end": true}

The process ends when its standard input does, so it never outlives its owner. It runs by file path and imports nothing
of the project.
"""

import json
import os
import secrets
import sys
import threading
from collections.abc import Callable
from typing import Any, BinaryIO

Reply = Callable[[dict[str, Any]], None]
Generate = Callable[[dict[str, Any], Callable[[dict[str, Any]], bool]], object]

# A stop is noticed between batches of the prompt: about half a second for the packaged model, at 3 % less speed.
BATCH_TOKENS = 128


class Requests:
    """Requests in the order they came, one generated at a time."""

    def __init__(self, generate: Generate, reply: Reply) -> None:
        self._generate = generate
        self._reply = reply
        self._waiting: dict[int, dict[str, Any]] = {}
        self._running: int | None = None
        self._stopped = False
        self._changed = threading.Condition()

    def add(self, request_id: int, body: dict[str, Any]) -> None:
        """Queue one request."""
        with self._changed:
            self._waiting[request_id] = body
            self._changed.notify()

    def cancel(self, request_id: int) -> None:
        """End a request: at once when it waits, at its next token or batch when it runs."""
        with self._changed:
            if self._running == request_id:
                self._stopped = True
            elif self._waiting.pop(request_id, None) is not None:
                self._reply({"id": request_id, "end": True})

    def work(self) -> None:
        """Generate for ever."""
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                self._running = next(iter(self._waiting))
                body = self._waiting.pop(self._running)
                self._stopped = False
            self._run(self._running, body)
            with self._changed:
                self._reply({"id": self._running, "end": True})
                self._running = None

    def _run(self, request_id: int, body: dict[str, Any]) -> None:
        def chunk_arrived(chunk: dict[str, Any]) -> bool:
            if not self._stopped:
                self._reply({"id": request_id, "chunk": chunk})
            return self._stopped

        self._generate(body, chunk_arrived)


def load(path: str, context_tokens: int, threads: int, prompt_threads: int) -> Generate:
    """Load a GGUF file and return its chat function. Raises RuntimeError when llama.cpp cannot."""
    import xllamacpp  # noqa: PLC0415 - the tests of Requests do without

    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_ctx, params.n_parallel = context_tokens, 1
    params.n_batch = params.n_ubatch = BATCH_TOKENS
    params.cpuparams.n_threads, params.cpuparams_batch.n_threads = threads, prompt_threads
    params.cpuparams.poll = params.cpuparams_batch.poll = 0  # threads that wait for each other leave the cores alone
    params.fit_params = False  # the context is what the settings say, not what memory allows
    params.cache_ram_mib = 0  # else old prompts are kept, in up to 8 GiB
    params.api_keys = [secrets.token_hex(32)]  # llama.cpp opens a loopback port as well; nobody has its key
    params.verbosity = 1  # errors only
    generate: Generate = xllamacpp.Server(params).handle_chat_completions
    return generate


def main(options: str) -> None:
    """Load, answer until standard input ends, and exit."""
    output = _claim_standard_output()
    lock = threading.Lock()

    def reply(message: dict[str, Any]) -> None:
        with lock:
            output.write(json.dumps(message).encode() + b"\n")
            output.flush()

    try:
        requests = Requests(load(**json.loads(options)), reply)
    except (RuntimeError, ImportError) as error:
        reply({"failed": str(error)})
        raise SystemExit(1) from error
    reply({"loaded": True})
    threading.Thread(target=requests.work, daemon=True).start()
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if "cancel" in message:
            requests.cancel(message["cancel"])
        else:
            requests.add(message["id"], message["body"])
    os._exit(0)  # the owner is gone or done; a running generation is not waited for


def _claim_standard_output() -> BinaryIO:
    """Standard output for replies alone: what llama.cpp prints goes to standard error instead."""
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return output


if __name__ == "__main__":
    main(sys.argv[1])
