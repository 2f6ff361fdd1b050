"""Embedding: texts of a client to vectors of the embedder that the index uses."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.domain.errors import InvalidInput
from app.domain.ports import Embedder, TokenCounter, TokenDecoder, Vectors

MAX_TEXTS = 2048
MAX_TEXT_TOKENS = 8191
MAX_TOKENS = 300_000


@dataclass(frozen=True, slots=True)
class Embedded:
    """Unit-length rows in the order of the texts, and the texts' tokens together."""

    vectors: Vectors
    tokens: int


class Embedding:
    """Embeds within limits, which are OpenAI's."""

    def __init__(self, embedder: Embedder, count_tokens: TokenCounter, decode_tokens: TokenDecoder) -> None:
        self.embedder = embedder
        self._count = count_tokens
        self._decode = decode_tokens

    async def embed(self, given: Sequence[str | Sequence[int]], *, queries: bool) -> Embedded:
        """Embed texts, or texts given as cl100k_base tokens; as questions or as passages.

        Raises InvalidInput, ProviderError.
        """
        texts, tokens = await asyncio.to_thread(self._fitting, given)
        if queries:
            rows = [await self.embedder.embed_query(text) for text in texts]
            return Embedded(np.concatenate(rows), tokens)
        return Embedded(await self.embedder.embed_passages(texts), tokens)

    def _fitting(self, given: Sequence[str | Sequence[int]]) -> tuple[list[str], int]:
        """The texts and the number of all their tokens. Raises InvalidInput for what is empty or too long."""
        if len(given) > MAX_TEXTS:
            raise InvalidInput(f"input: there are {len(given)} texts, the limit is {MAX_TEXTS}; send fewer at once")
        texts, total = list[str](), 0
        for index, item in enumerate(given):
            text = item if isinstance(item, str) else self._text(index, item)
            count = self._count(text)
            if not text:
                raise InvalidInput(f"input.{index}: the text is empty")
            if count > MAX_TEXT_TOKENS:
                raise InvalidInput(f"input.{index}: it has {count} tokens, the limit is {MAX_TEXT_TOKENS}; split it")
            texts.append(text)
            total += count
        if total > MAX_TOKENS:
            raise InvalidInput(f"input: all texts have {total} tokens, the limit is {MAX_TOKENS}; send fewer at once")
        return texts, total

    def _text(self, index: int, tokens: Sequence[int]) -> str:
        try:
            return self._decode(tokens)
        except (KeyError, OverflowError) as error:
            raise InvalidInput(f"input.{index}: there is no such token in cl100k_base; send text") from error
