"""Mail: a message as it would be read, and which files came with it."""

import re
from collections.abc import Sequence
from email import message_from_bytes, policy
from email.errors import MessageError
from email.message import EmailMessage, MIMEPart
from email.utils import parsedate_to_datetime
from pathlib import PurePath

from app.domain.document import ParsedDocument
from app.domain.errors import UnreadableFile
from ingestion.loaders.characters import clean
from ingestion.loaders.formats import SUFFIXES
from ingestion.loaders.html import HtmlReader
from ingestion.loaders.member import Member
from ingestion.loaders.pieces import Pieces
from ingestion.loaders.reader import StructureReader

MEDIA_TYPE = "message/rfc822"


_SAVED = re.compile('["<]*saved by ', re.IGNORECASE)  # of a browser, which puts a page together as a mail is
_TEXTS = {"text/plain", "text/html"}
_STUB = 0.2  # a plain text with less of what the page says only stands in for it
_FIELDS = {"subject", "from", "to", "cc", "content-type", "content-disposition"}
_MALFORMED = (MessageError, ValueError, TypeError, AttributeError, IndexError)  # headers are, in one of many ways


class MailReader(StructureReader):
    """Reads messages in the form of RFC 5322; attachments are named, and documents of their own by `members`."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """From, to and date, the text (of HTML when the plain one is missing or a stub), the attachments' names."""
        message, pieces = _message(data), Pieces()
        subject, (texts, files) = _header(message, "subject"), _parts(message)
        if _SAVED.match(_header(message, "from")) and texts:
            return HtmlReader().parse(f"{subject}.html", _page(texts[0]))
        pieces.heading(1, subject)
        headers = {field: _header(message, field) for field in ("from", "to", "cc", "date")}
        pieces.block("\n".join(f"{field.capitalize()}: {value}" for field, value in headers.items() if value))
        for part in texts:
            _write(part, pieces)
        attached = [part.get_filename() or part.get_content_type() for part in files]
        pieces.block("Attachments: " + ", ".join(attached) if attached else "")
        return pieces.document(
            name, MEDIA_TYPE, subject, author=headers["from"], recipients=headers["to"], date=_day(headers["date"])
        )


def members(data: bytes) -> Sequence[Member]:
    """The attached files; attached messages are named by their subjects."""
    found = []
    for part in _parts(_message(data))[1]:
        payload = part.get_payload(decode=True)
        if isinstance(payload, bytes):
            found.append(Member(part.get_filename() or "", payload))
        elif part.get_content_type() == MEDIA_TYPE:
            inner = part.get_payload(0)
            assert isinstance(inner, EmailMessage)  # noqa: S101 - what a message part holds
            found.append(Member(f"{_header(inner, 'subject').replace('/', ' ') or 'message'}.eml", inner.as_bytes()))
    return found


def write_text(pieces: Pieces, text: str) -> None:
    """A message's text, paragraph by paragraph."""
    for paragraph in clean(text).split("\n\n"):
        pieces.block(paragraph)


def write_page(pieces: Pieces, page: bytes) -> None:
    """A message's text as the page that it is; nothing of one that is empty."""
    try:
        pieces.join(HtmlReader().parse("body.html", page), below=1)
    except UnreadableFile:
        return


def _message(data: bytes) -> EmailMessage:
    """The message, with what headers say in plain letters (not ASCII, against the rules) decoded as its text is."""
    message = message_from_bytes(data, policy=policy.default)
    assert isinstance(message, EmailMessage)  # noqa: S101 - the policy's kind
    for part in message.walk():
        for field, value in list(part.raw_items()):
            if field.lower() in _FIELDS and isinstance(value, str) and not value.isascii():
                try:
                    raw = "".join(value.splitlines()).encode("ascii", "surrogateescape")
                    part.replace_header(field, _decoded(raw, part.get_content_charset()))
                except _MALFORMED:
                    continue
    return message


def _parts(part: MIMEPart, *, inner: bool = False) -> tuple[list[MIMEPart], list[MIMEPart]]:
    """The parts that a message's text is made of, and the files that came with it."""
    kind = part.get_content_type()
    if part.get_content_maintype() == "multipart":
        found = [_parts(one, inner=True) for one in _inside(part)] if part.is_multipart() else []
        texts, files = [texts for texts, _ in found], [file for _, files in found for file in files]
        if kind == "multipart/alternative":
            return _chosen(texts), [file for file in files if file.get_filename()]
        if kind == "multipart/related":  # a page and its pictures
            return next(filter(None, texts), []), [file for file in files if file.get_content_maintype() != "image"]
        return [text for one in texts for text in one], files
    named = inner and (part.is_attachment() or PurePath(part.get_filename() or "").suffix.lower() in SUFFIXES)
    return ([part], []) if kind in _TEXTS and not named else ([], [part])


def _chosen(texts: list[list[MIMEPart]]) -> list[MIMEPart]:
    """Of alternatives the plain one, unless it only says that there is more in another, or nothing."""
    said = [one for one in texts if one]
    plain = next((one for one in said if any(part.get_content_type() == "text/plain" for part in one)), None)
    if plain is None:
        return next(iter(said), [])
    fullest = max(said, key=_length)
    return fullest if _length(plain) < _STUB * _length(fullest) else plain


def _length(texts: list[MIMEPart]) -> int:
    """How many characters of words the parts have."""
    pieces = Pieces()
    for part in texts:
        _write(part, pieces)
    return len("".join(pieces.document("", MEDIA_TYPE).text.split()))


def _inside(part: MIMEPart) -> list[MIMEPart]:
    """The parts of one, that which it says to be its start (RFC 2387) first."""
    try:
        start = str(part.get_param("start", "")).strip("<> ")
    except _MALFORMED:
        start = ""
    return sorted(part.iter_parts(), key=lambda one: not start or _header(one, "content-id").strip("<> ") != start)


def _write(part: MIMEPart, pieces: Pieces) -> None:
    if part.get_content_type() == "text/plain":
        write_text(pieces, _decoded(_content(part), part.get_content_charset()))
    else:
        write_page(pieces, _page(part))


def _page(part: MIMEPart) -> bytes:
    """A page in UTF-8; as it is where the mail does not say how it is written, for the page may."""
    try:
        return _content(part).decode(part.get_content_charset() or "ascii").encode()
    except (LookupError, UnicodeError):
        return _content(part)


def _content(part: MIMEPart) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _decoded(content: bytes, charset: str | None) -> str:
    for encoding in (charset, "utf-8", "cp1252"):
        try:
            return content.decode(encoding or "ascii")
        except (LookupError, UnicodeError):
            continue
    return content.decode("latin-1")


def _header(message: MIMEPart, field: str) -> str:
    try:
        return " ".join(str(message.get(field) or "").split())
    except _MALFORMED:
        return ""


def _day(date: str) -> str:
    try:
        return parsedate_to_datetime(date).date().isoformat()
    except (ValueError, TypeError):
        return ""
