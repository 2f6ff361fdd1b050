"""Vectors: embeddings of a corpus kept on disk, so that a second evaluation does not wait for them again."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np

from app.domain.ports import Embedder, Vectors

_BATCH = 64


class VectorCache:
    """An embedder's passages by the hash of embedder and text, in one file that only grows.

    The file is an array of (key, vector) records without a header. Each batch is written when it is embedded, so that
    an interrupted run loses one batch at most; a record that was cut off at the end is overwritten.
    """

    def __init__(self, folder: Path, name: str, embedder: Embedder) -> None:
        """Reads what is there; the folder is made when missing."""
        self._embedder = embedder
        self._record = np.dtype([("key", "V32"), ("vector", "<f4", (embedder.dimensions,))])
        folder.parent.mkdir(
            mode=0o711, parents=True, exist_ok=True
        )  # the data folder, as the embedded services make it
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / ".gitignore").write_text("*\n")
        self._path = folder / f"{name}-{sha256(embedder.name.encode()).hexdigest()[:8]}-{embedder.dimensions}.bin"
        self._vectors: dict[bytes, Vectors] = {}
        self._written = 0
        if self._path.exists():
            records = np.fromfile(self._path, self._record, self._path.stat().st_size // self._record.itemsize)
            self._vectors = dict(zip((key.tobytes() for key in records["key"]), records["vector"], strict=True))
            self._written = len(records)

    async def embed(self, texts: Sequence[str], progress: Callable[[int], None] = lambda _done: None) -> Vectors:
        """Passages in their order, shape (len(texts), dimensions); `progress` is told how many more are done.

        Raises ProviderError (of the embedder).
        """
        keys = [self._key(text) for text in texts]
        missing = [(key, text) for key, text in zip(keys, texts, strict=True) if key not in self._vectors]
        missing = list(dict(missing).items())
        progress(len(texts) - len(missing))
        for start in range(0, len(missing), _BATCH):
            batch = missing[start : start + _BATCH]
            self._append([key for key, _ in batch], await self._embedder.embed_passages([text for _, text in batch]))
            progress(len(batch))
        if not keys:
            return np.empty((0, self._embedder.dimensions), np.float32)
        return np.stack([self._vectors[key] for key in keys])

    def _append(self, keys: Sequence[bytes], vectors: Vectors) -> None:
        records = np.empty(len(keys), self._record)
        records["key"] = np.array(keys, "V32")
        records["vector"] = vectors
        # placed by number, not appended: whoever writes at the same time, no record starts inside another
        self._path.touch(mode=0o600)
        with self._path.open("r+b") as file:
            file.seek(self._written * self._record.itemsize)
            records.tofile(file)
        self._written += len(records)
        self._vectors.update(zip(keys, vectors, strict=True))

    def _key(self, text: str) -> bytes:
        return sha256(f"{self._embedder.name}\0{text}".encode()).digest()
