"""Support: how much of an answer its passages support."""

from collections.abc import Sequence

from app.domain.run import Citation


def support_rate(citations: Sequence[Citation]) -> float | None:
    """The share of the judged sentences that are supported; None when no sentence claims anything."""
    verdicts = {(each.sentence_start, each.sentence_end): each.verdict for each in citations}
    if not verdicts:
        return None
    return sum(verdict == "supported" for verdict in verdicts.values()) / len(verdicts)
