"""Places: how well what is cited, or retrieved, meets what answers the question."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A span of a document's text, in code points; `end` is exclusive."""

    document_id: str
    start: int
    end: int

    def meets(self, other: "Place") -> bool:
        """Whether both share a character."""
        return self.document_id == other.document_id and self.start < other.end and other.start < self.end


def place_precision(found: Sequence[Place], gold: Sequence[Place]) -> float | None:
    """The share of what was found that meets a gold place; None when nothing was found or nothing is gold."""
    if not found or not gold:
        return None
    return sum(any(each.meets(right) for right in gold) for each in found) / len(found)


def place_recall(found: Sequence[Place], gold: Sequence[Place]) -> float | None:
    """The share of the gold places that something found meets; None when nothing is gold."""
    if not gold:
        return None
    return sum(any(each.meets(right) for each in found) for right in gold) / len(gold)
