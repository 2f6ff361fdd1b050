from dataclasses import replace

from app.domain.run import Citation
from app.services.citations import FootnoteNumbers


def citation(start: int, end: int, document: str = "a") -> Citation:
    return Citation(0, 0, 1, "p", document, start, end, "quote", 1.0, "supported")


def test_footnotes_are_numbered_by_first_use_of_a_span() -> None:
    numbers = FootnoteNumbers()
    spans = [(0, 10, "a"), (20, 30, "a"), (0, 10, "b"), (5, 20, "a"), (10, 15, "a"), (30, 40, "a")]
    assert [numbers.number(citation(*span)).index for span in spans] == [1, 2, 3, 1, 1, 4]


def test_an_unsupported_sentence_has_no_footnote() -> None:
    numbers = FootnoteNumbers()
    unsupported = replace(citation(0, 0, ""), verdict="unsupported")
    assert [numbers.number(c).index for c in (unsupported, unsupported, citation(0, 5))] == [0, 0, 1]
