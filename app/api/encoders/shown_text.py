"""Shown text: an answer that may be rewound, for readers that can only append."""


class ShownText:
    """Tells what to append, so that what the reader has stays a beginning of the answer.

    After a rewind nothing is appended until the answer has caught up with what was shown. Where it goes on in other
    words, what was shown no longer stands, and only the reader's dialect knows what to do about that.
    """

    def __init__(self) -> None:
        self.text = ""
        self._ahead = ""  # what was shown beyond `text`

    @property
    def stands(self) -> bool:
        """Whether the reader has the answer so far and nothing beyond it."""
        return not self._ahead

    def rewind(self, to: int) -> None:
        """Forget the answer from code point `to` on; what was shown stays shown."""
        self._ahead = self.text[to:] + self._ahead
        self.text = self.text[:to]

    def append(self, delta: str) -> str | None:
        """What to show of `delta`; None when what was shown no longer stands. Then the reader has nothing."""
        self.text += delta
        if delta.startswith(self._ahead):
            new, self._ahead = delta[len(self._ahead) :], ""
            return new
        if self._ahead.startswith(delta):
            self._ahead = self._ahead[len(delta) :]
            return ""
        self.restart()
        return None

    def restart(self) -> None:
        """The reader begins anew: it has `text` and nothing beyond it."""
        self._ahead = ""
