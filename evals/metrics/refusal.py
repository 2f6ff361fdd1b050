"""Refusal: whether a question is refused exactly when nothing answers it.

Each is a share of questions: a question counts 1 or 0, or, with None, not at all.
"""


def refusal_recall(*, refused: bool, answerable: bool) -> float | None:
    """Of what cannot be answered, the share that is refused."""
    return None if answerable else float(refused)


def refusal_precision(*, refused: bool, answerable: bool) -> float | None:
    """Of what is refused, the share that cannot be answered."""
    return float(not answerable) if refused else None


def answer_rate(*, refused: bool, answerable: bool) -> float | None:
    """Of what can be answered, the share that is not refused."""
    return float(not refused) if answerable else None
