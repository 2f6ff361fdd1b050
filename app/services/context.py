"""Context: the passages that fit into a prompt, and how they stand there."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from itertools import takewhile

from app.domain.passage import Passage
from app.domain.ports import TokenCounter
from app.domain.sentences import split

_OWN_TAG = re.compile(r"<(?=\s*/?\s*passage)", re.IGNORECASE)


def pack(passages: Sequence[Passage], *, budget_tokens: int, count_tokens: TokenCounter, limit: int) -> list[Passage]:
    """The best passages that fit into `budget_tokens` as `format_passages` writes them, best first.

    Neighbours among them become one; at most `limit` are left then. A passage that does not fit is left out and the
    next one tried, but the best one is cut at the end of a sentence instead (of a word, when its first sentence is too
    long already). Empty when nothing fits.
    """
    chosen: list[Passage] = []
    for rank, passage in enumerate(passages):
        packed = merge_neighbours([*chosen, passage])
        if len(packed) <= limit and _fits(format_passages(packed), budget_tokens, count_tokens):
            chosen.append(passage)
        elif rank == 0 and limit and (beginning := _cut(passage, budget_tokens, count_tokens)) is not None:
            chosen.append(beginning)
    return merge_neighbours(chosen)


def _fits(text: str, budget_tokens: int, count_tokens: TokenCounter) -> bool:
    """Whether it has no more tokens. A token has a byte at least, so that most often nothing need be counted."""
    return len(text.encode()) <= budget_tokens or count_tokens(text) <= budget_tokens


def merge_neighbours(passages: Sequence[Passage]) -> list[Passage]:
    """Passages of one document version that follow each other or overlap as one, at the rank of the best among them.

    The merged passage has the id and metadata of the best, the page of the first, the headings that all share. Passages
    with a gap between them stay apart: what stands in the gap is not known here, and `text` must be the version's own.
    """
    ranked = sorted(enumerate(passages), key=lambda item: (item[1].version_id, item[1].char_start, item[0]))
    merged: list[tuple[int, Passage]] = []
    for rank, passage in ranked:
        if merged and _touch(merged[-1][1], passage):
            best_rank, before = merged[-1]
            merged[-1] = (min(rank, best_rank), _joined(before, passage, best=before if best_rank < rank else passage))
        else:
            merged.append((rank, passage))
    return [passage for _, passage in sorted(merged, key=lambda item: item[0])]


def format_passages(passages: Sequence[Passage]) -> str:
    """The passages for a prompt, numbered from 1, each marked as data; none can close its own mark or open another."""
    return "\n".join(
        f'<passage id="{number}" title="{escape(passage.title)}">\n{_OWN_TAG.sub("‹", passage.text)}\n</passage>'
        for number, passage in enumerate(passages, start=1)
    )


def _touch(before: Passage, after: Passage) -> bool:
    return before.version_id == after.version_id and after.char_start <= before.char_end + len(before.space_after)


def _joined(before: Passage, after: Passage, *, best: Passage) -> Passage:
    """Both as one; `after` does not start before `before`."""
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(before.heading_path, after.heading_path, strict=False))
    similarities = [p.similarity for p in (before, after) if p.similarity is not None]
    return replace(
        best,
        heading_path=tuple(heading for heading, _ in pairs),
        page=before.page,
        char_start=before.char_start,
        char_end=max(before.char_end, after.char_end),
        text=(before.text + before.space_after)[: max(after.char_start, before.char_end) - before.char_start]
        + after.text[max(0, before.char_end - after.char_start) :],
        space_after=after.space_after if after.char_end >= before.char_end else before.space_after,
        score=max(before.score, after.score),
        similarity=max(similarities, default=None),
    )


def _cut(passage: Passage, budget_tokens: int, count_tokens: TokenCounter) -> Passage | None:
    """The passage's longest beginning that fits: whole sentences, or words of the first; None when no word does."""

    def until(end: int) -> Passage:
        return replace(passage, text=passage.text[:end], char_end=passage.char_start + end)

    def tokens(end: int) -> int:
        return count_tokens(format_passages([until(end)]))

    sentence_ends = [sentence.end for sentence in split(passage.text)]
    word_ends = [word.end() for word in re.finditer(r"\S+", passage.text[: sentence_ends[0] if sentence_ends else 0])]
    for ends in (sentence_ends, word_ends):
        fitting = bisect_right(ends, budget_tokens, key=tokens)
        if fitting:
            return until(ends[fitting - 1])
    return None
