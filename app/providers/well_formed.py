"""Well-formed text: what a model sends in pieces, as Unicode that can be stored and sent on."""

from codecs import getincrementaldecoder

_BYTE_ORDER = "utf-16-le"


class WellFormed:
    """Joins surrogate pairs that were cut in two, puts U+FFFD for a half without the other, and leaves out NUL.

    JSON can say any of these, PostgreSQL and UTF-8 take none.
    """

    def __init__(self) -> None:
        self._decode = getincrementaldecoder(_BYTE_ORDER)("replace").decode

    def feed(self, piece: str) -> str:
        """The piece as far as it is whole."""
        return self._decode(piece.encode(_BYTE_ORDER, "surrogatepass")).replace("\0", "")

    def flush(self) -> str:
        """What was waiting for its other half."""
        return self._decode(b"", final=True)
