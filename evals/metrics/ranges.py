"""Ranges: how well retrieved chunks cover the excerpts that answer a question, by characters.

The measures of chunking_evaluation (Smith and Troynikov, "Evaluating Chunking Strategies for Retrieval", Chroma
Technical Report, 2024, section "Metrics"), counted as its code counts them: in characters although the report says
tokens, each retrieved chunk in full even where chunks overlap, chunks of other texts too.
"""

from collections.abc import Iterable, Sequence

Range = tuple[int, int]
"""Start and end (exclusive) in a text, in code points."""


def coverage_scores(
    excerpts: Sequence[Range], retrieved: Sequence[Range], *, elsewhere: int, every_chunk: Sequence[Range]
) -> dict[str, float]:
    """Recall, precision and IoU of the retrieved chunks, and precision Ω of the chunking itself.

    `retrieved` are those of the excerpts' own text; `elsewhere` the characters of those retrieved from other texts;
    `every_chunk` all chunks of the text. With E the excerpts and C the retrieved chunks: recall |E∩C| / |E|, precision
    |E∩C| / |C|, IoU |E∩C| / (|C| + |E∖C|). Precision Ω is the IoU of the chunks that meet E: what a perfect retriever
    could reach.
    """
    found = _size(_found(excerpts, retrieved))
    chunks = _size(retrieved) + elsewhere
    return {
        "recall": found / _size(excerpts),
        "precision": found / chunks if chunks else 0.0,
        "iou": found / (chunks + _size(_missed(excerpts, retrieved))),
        "precision_omega": _precision_omega(excerpts, every_chunk),
    }


def _precision_omega(excerpts: Sequence[Range], chunks: Sequence[Range]) -> float:
    # a chunk that ends where an excerpt begins counts, as in the published figures
    meeting = [(a, b) for a, b in chunks if any(a <= end and start <= b for start, end in excerpts)]
    return _size(_found(excerpts, meeting)) / _size(_union([*meeting, *_missed(excerpts, meeting)]))


def _found(excerpts: Sequence[Range], chunks: Sequence[Range]) -> list[Range]:
    """What excerpts and chunks share, each place once."""
    shared = ((max(a, start), min(b, end)) for a, b in chunks for start, end in excerpts)
    return _union((start, end) for start, end in shared if start < end)


def _missed(excerpts: Sequence[Range], chunks: Sequence[Range]) -> list[Range]:
    """What of the excerpts is in no chunk."""
    missed = list(excerpts)
    for a, b in chunks:
        cut = [((start, min(end, a)), (max(start, b), end)) for start, end in missed]
        missed = [(start, end) for parts in cut for start, end in parts if start < end]
    return missed


def _union(ranges: Iterable[Range]) -> list[Range]:
    merged: list[Range] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _size(ranges: Iterable[Range]) -> int:
    return sum(end - start for start, end in ranges)
