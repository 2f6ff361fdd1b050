"""Footnoted: an answer as one text, each sentence with its marks."""

from app.services.outcome import AnswerSoFar


def footnoted(answer: AnswerSoFar) -> str:
    """The text with `[1]` after what footnote 1 supports, and `[?]` after what nothing supports."""
    marks: dict[int, list[str]] = {}
    for citation in answer.citations:
        mark = f"[{citation.index}]" if citation.index else "[?]"
        at = marks.setdefault(citation.sentence_end, [])
        if mark not in at:
            at.append(mark)
    parts, begin = [], 0
    for end in sorted(marks):
        parts += [answer.text[begin:end].rstrip(), *marks[end], answer.text[len(answer.text[:end].rstrip()) : end]]
        begin = end
    return "".join(parts) + answer.text[begin:]
