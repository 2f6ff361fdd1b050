"""Index generation: one way of embedding every chunk; queries name the active one."""

from dataclasses import dataclass

MOST_DIMENSIONS = 4000
"""Of a vector in half precision under an HNSW index of pgvector."""


@dataclass(frozen=True, slots=True)
class IndexGeneration:
    """An embedder, its dimensions and a chunker; `id` names the partial HNSW index that belongs to it."""

    id: int
    embedder: str
    dimensions: int
    chunker: str
    state: str


def chunker_id(max_tokens: int) -> str:
    """The identity of the chunker that a generation stores: the strategy, its version and its size."""
    return f"structure-v2/{max_tokens}"
