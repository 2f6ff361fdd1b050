"""Context: the passages that fit into a prompt, and how they stand there."""

from collections.abc import Sequence
from dataclasses import replace
from html import escape

from app.domain.passage import Passage
from app.domain.ports import TokenCounter
from app.services.citations import split

FRAME_TOKENS = 12  # of the tags around a passage


def pack(
    passages: Sequence[Passage], *, budget_tokens: int, count_tokens: TokenCounter, limit: int
) -> list[Passage]:
    """The best passages whose tokens fit the budget, at most `limit`, best first; neighbours become one passage.

    A passage that does not fit is passed over for a smaller one, but the best is cut at a sentence's end instead.
    """
    packed: list[Passage] = []
    for passage in merge_neighbours(passages):
        cost = count_tokens(passage.text) + FRAME_TOKENS
        if cost > budget_tokens and not packed:
            passage = _cut(passage, budget_tokens - FRAME_TOKENS, count_tokens)  # noqa: PLW2901
            cost = count_tokens(passage.text) + FRAME_TOKENS
        if cost <= budget_tokens:
            packed.append(passage)
            budget_tokens -= cost
        if len(packed) == limit:
            break
    return packed


def merge_neighbours(passages: Sequence[Passage]) -> list[Passage]:
    """Passages of one document version that touch or overlap become one, which keeps the better one's rank and id.

    Only characters that are known are joined: a gap between two chunks keeps them apart.
    """
    merged: list[Passage] = []
    for passage in passages:
        for at, other in enumerate(merged):
            if other.version_id == passage.version_id and _touch(other, passage):
                merged[at] = _join(other, passage)
                break
        else:
            merged.append(passage)
    return merged


def _touch(a: Passage, b: Passage) -> bool:
    return a.char_start <= b.char_end and b.char_start <= a.char_end


def _join(better: Passage, other: Passage) -> Passage:
    first, second = sorted((better, other), key=lambda passage: passage.char_start)
    text = first.text + second.text[max(0, first.char_end - second.char_start) :]
    return replace(better, char_start=first.char_start, char_end=first.char_start + len(text), page=first.page, text=text)


def _cut(passage: Passage, tokens: int, count_tokens: TokenCounter) -> Passage:
    """The passage's first sentences that have at most `tokens` tokens together."""
    end = 0
    for sentence in split(passage.text):
        if count_tokens(passage.text[: sentence.end]) > tokens:
            break
        end = sentence.end
    return replace(passage, char_end=passage.char_start + end, text=passage.text[:end])


def format_passages(passages: Sequence[Passage]) -> str:
    """The passages for a prompt, each marked as data; none can close its own mark."""
    return "\n".join(
        f'<passage id="{number}" title="{escape(passage.title)}">\n{_defused(passage.text)}\n</passage>'
        for number, passage in enumerate(passages, start=1)
    )


def _defused(text: str) -> str:
    return text.replace("<passage", "‹passage").replace("</passage", "‹/passage")
