"""Native encoder: run events as server-sent events of Footnote's own dialect."""

from app.domain.run import LoggedEvent

RETRY_MS = 2000
PREAMBLE = b"retry: %d\n\n" % RETRY_MS


def encode(event: LoggedEvent) -> bytes:
    """`id`, `event`, `data`; the JSON was encoded once when the event was written and holds no newline."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.id, event.type.encode(), event.data)
