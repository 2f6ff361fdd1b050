"""Characters: the bytes of a text file as clean Unicode."""

import codecs
import re
import unicodedata

from charset_normalizer import from_bytes

from app.domain.errors import UnsupportedFormat
from ingestion.loaders.formats import unsupported

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LINE_END = re.compile("\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_TERMINAL = "\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b\n]*(?:\x07|\x1b\\\\))"  # colours and links (ECMA-48)
_UNWANTED = re.compile(_TERMINAL + "|[\x00-\x08\x0e-\x1f\x7f\u00ad\ufeff\ufffe\uffff\ud800-\udfff]")
_EMBEDDED = ";base64,"  # a picture, mostly
_EMBEDDED_DATA = re.compile(f"{_EMBEDDED}[A-Za-z0-9+/]{{100,}}(?:=|%3D){{0,2}}")  # shorter ones are examples
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_MOST_CONTROLS = 0.02  # a text has next to none; random bytes have 11 %
_GUESS_FROM_BYTES = 65_536  # enough to know an encoding by; guessing is slow
_SAME_CHAOS = 0.05
# the likelier first: where two fit equally well, the earlier is taken
_GUESSES = ["cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "koi8_r", "cp932", "euc_jp", "gb18030", "big5", "cp949"]


def decode(data: bytes, declared: str | None = None) -> str:
    """The text in `data`: by its byte order mark, as UTF-8, as `declared` (HTML's meta charset), or by guessing.

    Raises UnsupportedFormat when the bytes are not text.
    """
    text = _decode_certain(data)
    if text is None or (declared and text.isascii()):  # ISO-2022-JP and its like are ASCII on the outside
        text = (_decode_as(data, declared) if declared else None) or text or _decode_guessed(data)
    if len(_CONTROL.findall(text)) > _MOST_CONTROLS * len(text):
        raise unsupported()
    return text


def clean(text: str) -> str:
    r"""Text as it is stored and cited: NFC, lines ended by \n, no NUL, control, soft-hyphen or half characters.

    Neither are the colours of a terminal, nor the data of what is embedded in base64, which no one reads. Offsets count
    from here: everything that moves characters happens before anything is located.
    """
    if _EMBEDDED in text:
        text = _EMBEDDED_DATA.sub(f"{_EMBEDDED}…", text)
    return unicodedata.normalize("NFC", _UNWANTED.sub("", _LINE_END.sub("\n", text)))


def _decode_certain(data: bytes) -> str | None:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    return _decode_as(data, "utf-8")


def _decode_as(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except (LookupError, UnicodeError, ValueError):
        return None


def _decode_guessed(data: bytes) -> str:
    if b"\0" in data:  # no 8-bit encoding uses it
        raise unsupported()
    # the encodings that text files are found in; among all that exist, a short text fits many
    matches = from_bytes(data[:_GUESS_FROM_BYTES], cp_isolation=_GUESSES)
    best = matches.best()
    if best is None:
        raise UnsupportedFormat("The file is binary, or text in an unknown encoding; save it as UTF-8.")
    ties = [m for m in matches if m.chaos <= best.chaos + _SAME_CHAOS and m.coherence >= best.coherence]
    likely = {encoding for match in ties for encoding in match.could_be_from_charset}
    return data.decode(next(filter(likely.__contains__, _GUESSES), best.encoding), errors="replace")
