"""Citations of a streamed answer: the numbers of their footnotes."""

from dataclasses import replace

from app.domain.run import Citation


class FootnoteNumbers:
    """Numbers footnotes 1, 2, 3 … by first use; spans of one document that overlap share a number."""

    def __init__(self) -> None:
        self._used: list[tuple[str, int, int]] = []

    def number(self, citation: Citation) -> Citation:
        """The citation with its `index`; an unsupported one keeps 0."""
        if citation.verdict == "unsupported":
            return replace(citation, index=0)
        document, start, end = citation.document_id, citation.char_start, citation.char_end
        for i, (used_document, used_start, used_end) in enumerate(self._used):
            if used_document == document and used_start < end and start < used_end:
                self._used[i] = (document, min(start, used_start), max(end, used_end))
                return replace(citation, index=i + 1)
        self._used.append((document, start, end))
        return replace(citation, index=len(self._used))
