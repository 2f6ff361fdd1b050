"""Frames: JSON values as server-sent events without names, as most dialects send them."""

import msgspec

DONE = b"data: [DONE]\n\n"


def frame(value: object) -> bytes:
    """One value as one event; its JSON holds no newline."""
    return b"data: %s\n\n" % msgspec.json.encode(value)


def named_frame(name: str, value: object) -> bytes:
    """One value as one event of that name."""
    return b"event: %s\n" % name.encode() + frame(value)
