"""Embed: the vectors of chunks, those that the generation has already and those that it lacks."""

import asyncio
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
        self._unstored: dict[UUID, asyncio.Future[Vectors]] = {}
        self.embedded = 0

    async def __call__(self, chunks: Sequence[Chunk]) -> Vectors:
        """Vectors of the chunks in their order, shape (len(chunks), dimensions).

        A chunk with the text and headings of a stored one gets that one's vector; so does one of a text that another
        call is at, until `stored` is told of it. Raises DatabaseUnavailable, ProviderError; other calls that want the
        same texts then never end, so they must be cancelled.
        """
        if not chunks:
            return np.zeros((0, self._embedder.dimensions), np.float32)
        texts = {chunk.text_hash: chunk.embedding_text for chunk in chunks}
        own = [text_hash for text_hash in texts if text_hash not in self._unstored]
        loop = asyncio.get_running_loop()
        self._unstored |= {text_hash: loop.create_future() for text_hash in own}
        wanted = {text_hash: self._unstored[text_hash] for text_hash in texts}
        if own:
            async with self._database.connection(self._workspace_id) as connection:
                vectors = await stored_vectors(connection, self._generation.id, own)
            missing = [text_hash for text_hash in own if text_hash not in vectors]
            if missing:
                made = await self._embedder.embed_passages([texts[text_hash] for text_hash in missing])
                vectors |= zip(missing, made, strict=True)
                self.embedded += len(missing)
            for text_hash in own:
                wanted[text_hash].set_result(vectors[text_hash])
        return np.stack([await wanted[chunk.text_hash] for chunk in chunks])

    def stored(self, chunks: Sequence[Chunk]) -> None:
        """Take note that these are in the database, where their vectors can be found."""
        for chunk in chunks:
            self._unstored.pop(chunk.text_hash, None)
