"""Thoughts: what a reasoning model says to itself before it answers, where its server sends that as text."""

from collections.abc import Mapping

_MARKS: Mapping[str, str] = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "[THINK]": "[/THINK]",
}


class WithoutThoughts:
    """Leaves out thoughts between marks at the beginning of an answer; what stands there later is the answer's own."""

    def __init__(self) -> None:
        self._held = ""
        self._until: str | None = None
        self._thought = False
        self._answers = False

    def feed(self, piece: str) -> str:
        """The piece as far as it is known to be no thought."""
        if self._answers:
            return piece
        self._held += piece
        while True:
            if self._until is not None:
                _, mark, after = self._held.partition(self._until)
                if not mark:
                    self._held = self._held[1 - len(self._until) :]
                    return ""
                self._held, self._until = after, None
            begun = self._held.lstrip()
            opening = next((mark for mark in _MARKS if begun.startswith(mark)), None)
            if opening is None:
                break
            self._held, self._until, self._thought = begun.removeprefix(opening), _MARKS[opening], True
        if any(mark.startswith(begun) for mark in _MARKS):  # may become one
            return ""
        self._answers = True
        return begun if self._thought else self._held

    def flush(self) -> str:
        """What looked like the beginning of a thought and was none."""
        return "" if self._answers or self._until is not None else self._held
