"""Embedding server: an embedder behind OpenAI's protocol on a loopback port, which counts what it was asked for."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from app.domain.ports import Embedder


class EmbeddingServer:
    """Remembers every text that it embedded; `requests` counts the requests that it answered."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._lock = threading.Lock()
        self.texts: list[str] = []
        self.requests = 0
        self.url = ""

    def take(self) -> list[str]:
        """The texts since the last call."""
        with self._lock:
            texts, self.texts = self.texts, []
        return texts

    def answer(self, texts: list[str]) -> bytes:
        """The body of a response."""
        with self._lock:  # the embedder is not for several threads at once
            vectors = asyncio.run(self._embedder.embed_passages(texts))
            self.texts += texts
            self.requests += 1
        data = [{"object": "embedding", "index": i, "embedding": row.tolist()} for i, row in enumerate(vectors)]
        usage = {"prompt_tokens": 0, "total_tokens": 0}
        return json.dumps({"object": "list", "model": "drill", "data": data, "usage": usage}).encode()


@contextmanager
def embedding_server(embedder: Embedder) -> Iterator[EmbeddingServer]:
    """Serve until the block ends."""
    server = EmbeddingServer(embedder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Embed the texts of a request."""
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            answer = server.answer(body["input"])
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A client that was killed is what this is for."""

    http = Server(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
