"""Mail: a message as it would be read, and which files came with it."""

from collections.abc import Sequence
from email import message_from_bytes, policy
from email.errors import MessageError
from email.message import EmailMessage
from email.utils import parsedate_to_datetime

from app.domain.document import ParsedDocument
from app.domain.errors import UnreadableFile
from ingestion.loaders.characters import clean
from ingestion.loaders.html import HtmlReader
from ingestion.loaders.member import Member
from ingestion.loaders.pieces import Pieces
from ingestion.loaders.reader import StructureReader

MEDIA_TYPE = "message/rfc822"


class MailReader(StructureReader):
    """Reads messages in the form of RFC 5322; attachments are named, and documents of their own by `members`."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """From, to and date, the text (of HTML when there is no other), the attachments' names."""
        message = message_from_bytes(data, policy=policy.default)
        assert isinstance(message, EmailMessage)  # noqa: S101 - the policy's kind
        pieces = Pieces()
        subject = _header(message, "subject")
        pieces.heading(1, subject)
        headers = {field: _header(message, field) for field in ("from", "to", "cc", "date")}
        pieces.block("\n".join(f"{field.capitalize()}: {value}" for field, value in headers.items() if value))
        _write_body(message, pieces)
        attached = [part.get_filename() or part.get_content_type() for part in message.iter_attachments()]
        pieces.block("Attachments: " + ", ".join(attached) if attached else "")
        return pieces.document(
            name, MEDIA_TYPE, subject, author=headers["from"], recipients=headers["to"], date=_day(headers["date"])
        )


def members(data: bytes) -> Sequence[Member]:
    """The attached files; attached messages are named by their subjects."""
    message = message_from_bytes(data, policy=policy.default)
    assert isinstance(message, EmailMessage)  # noqa: S101 - the policy's kind
    found = []
    for part in message.iter_attachments():
        payload = part.get_payload(decode=True)
        if isinstance(payload, bytes):
            found.append(Member(part.get_filename() or "", payload))
        elif part.get_content_type() == MEDIA_TYPE:
            inner = part.get_payload(0)
            assert isinstance(inner, EmailMessage)  # noqa: S101 - what a message part holds
            found.append(Member(f"{_header(inner, 'subject').replace('/', ' ') or 'message'}.eml", inner.as_bytes()))
    return found


def _write_body(message: EmailMessage, pieces: Pieces) -> None:
    body = message.get_body(("plain", "html"))
    if body is None:
        return
    payload = body.get_payload(decode=True)
    content = payload if isinstance(payload, bytes) else b""
    write_text(pieces, _decoded(content, body.get_content_charset()), html=body.get_content_type() == "text/html")


def write_text(pieces: Pieces, text: str, *, html: bool) -> None:
    """A message's text, paragraph by paragraph or as the page that it is; nothing of a page that is empty."""
    if html:
        try:
            pieces.join(HtmlReader().parse("body.html", text.encode()), below=1)
        except UnreadableFile:
            return
    else:
        for paragraph in clean(text).split("\n\n"):
            pieces.block(paragraph)


def _decoded(content: bytes, charset: str | None) -> str:
    for encoding in (charset, "utf-8", "cp1252"):
        try:
            return content.decode(encoding or "ascii")
        except (LookupError, UnicodeError):
            continue
    return content.decode("latin-1")


def _header(message: EmailMessage, field: str) -> str:
    try:
        return " ".join(str(message.get(field) or "").split())
    except (MessageError, ValueError, TypeError, AttributeError, IndexError):  # malformed, in one of many ways
        return ""


def _day(date: str) -> str:
    try:
        return parsedate_to_datetime(date).date().isoformat()
    except (ValueError, TypeError):
        return ""
