"""Outlook: a message of Outlook (MSG) as it would be read, and which files came with it."""

import io
from collections.abc import Sequence

from oxmsg import Message

from app.domain.document import ParsedDocument
from ingestion.loaders.mail import write_page, write_text
from ingestion.loaders.member import Member
from ingestion.loaders.pieces import Pieces
from ingestion.loaders.reader import StructureReader

MEDIA_TYPE = "application/vnd.ms-outlook"


class OutlookReader(StructureReader):
    """Reads messages through python-oxmsg; attachments are named here, and documents of their own by `members`."""

    def parse(self, name: str, data: bytes) -> ParsedDocument:
        """From, to and date, the text (of HTML when there is no other), the attachments' names."""
        message, pieces = _message(data), Pieces()
        subject = " ".join((message.subject or "").split())
        pieces.heading(1, subject)
        recipients = ", ".join(f"{one.name} <{one.email_address}>" for one in message.recipients)
        day = message.sent_date.date().isoformat() if message.sent_date else ""
        headers = {"From": message.sender or "", "To": recipients, "Date": day}
        pieces.block("\n".join(f"{field}: {value}" for field, value in headers.items() if value))
        if message.body and message.body.strip():
            write_text(pieces, message.body)
        elif message.html_body:
            write_page(pieces, message.html_body.encode())
        attached = [one.file_name or "unnamed" for one in message.attachments]
        pieces.block("Attachments: " + ", ".join(attached) if attached else "")
        return pieces.document(name, MEDIA_TYPE, subject, author=headers["From"], recipients=recipients, date=day)


def members(data: bytes) -> Sequence[Member]:
    """The attached files."""
    return [Member(one.file_name or "", one.file_bytes or b"") for one in _message(data).attachments]


def _message(data: bytes) -> Message:
    return Message.load(io.BytesIO(data))
