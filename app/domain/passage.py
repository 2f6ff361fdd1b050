"""Passage: a piece of a document version, as retrieved."""

from dataclasses import dataclass, field
from typing import Literal

Leg = Literal["hybrid", "dense", "lexical"]
"""Which retrieval leg finds passages: both fused, or one alone."""


@dataclass(frozen=True, slots=True)
class Passage:
    """One retrieved piece of text, with where it stands in its document version.

    `char_start`/`char_end` are offsets into the document version's text in code points, so that
    `version.text[char_start:char_end] == text`. `score` is the fused retrieval score (higher is better, not a
    probability), or the reranker's where one ordered the passages; `similarity` the cosine to the question (None when
    the dense leg did not find it); `lexical` its BM25 score (None when the lexical leg did not find it); `page` is
    1-based; `space_after` the white space up to the next chunk of the version.
    """

    id: str
    document_id: str
    version_id: str
    title: str
    uri: str
    heading_path: tuple[str, ...]
    page: int | None
    char_start: int
    char_end: int
    text: str
    score: float
    similarity: float | None = None
    metadata: dict[str, object] = field(default_factory=dict)
    lexical: float | None = None
    space_after: str = ""
