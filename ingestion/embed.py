"""Embed: the vectors of chunks, those that the generation has already and those that it lacks."""

from collections.abc import Sequence
from uuid import UUID

import numpy as np

from app.domain.document import Chunk
from app.domain.index import IndexGeneration
from app.domain.ports import Embedder, Vectors
from app.storage.chunks import stored_vectors
from app.storage.engine import Database


class Embedding:
    """Embeds for one generation, each text once; `embedded` counts the texts that the embedder was given."""

    def __init__(self, database: Database, workspace_id: UUID, generation: IndexGeneration, embedder: Embedder) -> None:
        self._database = database
        self._workspace_id = workspace_id
        self._generation = generation
        self._embedder = embedder
        self._last: dict[UUID, Vectors] = {}  # what was made before, which may not be stored yet
        self.embedded = 0

    async def __call__(self, chunks: Sequence[Chunk]) -> Vectors:
        """Vectors of the chunks in their order, shape (len(chunks), dimensions).

        A chunk with the text and headings of a stored one gets that one's vector. Raises DatabaseUnavailable,
        ProviderError.
        """
        texts = {chunk.text_hash: chunk.embedding_text for chunk in chunks}
        async with self._database.connection(self._workspace_id) as connection:
            vectors = await stored_vectors(connection, self._generation.id, list(texts))
        vectors |= {text_hash: vector for text_hash, vector in self._last.items() if text_hash in texts}
        missing = [text_hash for text_hash in texts if text_hash not in vectors]
        if missing:
            made = await self._embedder.embed_passages([texts[text_hash] for text_hash in missing])
            self._last = dict(zip(missing, made, strict=True))
            vectors |= self._last
            self.embedded += len(missing)
        if not chunks:
            return np.zeros((0, self._embedder.dimensions), np.float32)
        return np.stack([vectors[chunk.text_hash] for chunk in chunks])
