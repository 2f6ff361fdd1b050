"""Ports: the seams with more than one real implementation behind them."""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.domain.conversation import ChatMessage

Vectors: TypeAlias = NDArray[np.float32]
"""Unit-length rows, shape (n, dimensions)."""

TokenCounter: TypeAlias = Callable[[str], int]
"""Counts the tokens of a text (cl100k_base); an estimate for other tokenizers, good enough to budget with."""


TokenDecoder: TypeAlias = Callable[[Sequence[int]], str]
"""The text of cl100k_base tokens; raises KeyError for one that does not exist."""


@dataclass(frozen=True, slots=True)
class ChatDelta:
    """What a language model sent: text (may be empty), and with the last delta the token counts and why it ended."""

    text: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True)
class ChatModelProfile:
    """What the answering service must know of a model.

    `context_tokens` is the prompt and the answer together. `small` marks a model that must not be trusted with its own
    words: its sentences are shown only once they were checked, and it is not asked to rewrite questions. One without
    `own_words` may say only what stands in a passage in those words, where what has no support is withheld.
    """

    name: str
    context_tokens: int
    small: bool = False
    own_words: bool = True


class ChatModel(Protocol):
    """A language model that streams."""

    @property
    def profile(self) -> ChatModelProfile:
        """What the answering service must know of it."""
        ...

    def stream(self, messages: Sequence[ChatMessage], *, max_tokens: int) -> AsyncGenerator[ChatDelta, None]:
        """Stream one answer at temperature 0.

        An async generator: `aclose()` ends the generation upstream before it returns. Raises ProviderError (and its
        kinds) before or between deltas; nothing else escapes.
        """
        ...

    async def close(self) -> None:
        """Release what the model holds."""
        ...


class Embedder(Protocol):
    """Texts to unit-length vectors; asymmetric models prefix questions and passages differently."""

    @property
    def name(self) -> str:
        """The identity that an index generation stores, for example `local:all-MiniLM-L6-v2-int8`."""
        ...

    @property
    def dimensions(self) -> int:
        """The length of each vector."""
        ...

    async def embed_query(self, text: str) -> Vectors:
        """One question, shape (1, dimensions)."""
        ...

    async def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """Passages in their order, shape (len(texts), dimensions); runs off the event loop."""
        ...

    async def close(self) -> None:
        """Release what the embedder holds."""
        ...


class TokenMatcher(Protocol):
    """Compares a question with texts token by token: late interaction, as ColBERT does (Khattab and Zaharia 2020)."""

    async def nearest_tokens(self, question: str, texts: Sequence[str]) -> list[Vectors]:
        """For each text, how near its nearest token is to each token of the question: cosines, shape (tokens,).

        At least one token, with 0 where a side has none.
        """
        ...


class Reranker(Protocol):
    """A model that reads a question and a passage together and says how well the passage answers it."""

    @property
    def name(self) -> str:
        """What logs and `footnote doctor` call it, for example `cohere:rerank-v3.5`."""
        ...

    async def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """One finite relevance for each text, in the order of the texts; higher is better.

        Raises ProviderError (and its kinds); nothing else escapes.
        """
        ...

    async def close(self) -> None:
        """Release what the reranker holds."""
        ...
