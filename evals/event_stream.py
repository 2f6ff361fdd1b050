"""Event stream: a run's events as a client of Footnote's own dialect reads them."""

from collections.abc import AsyncGenerator

import httpx

from app.domain.run import LoggedEvent


async def read_events(response: httpx.Response) -> AsyncGenerator[LoggedEvent, None]:
    """The events of an open stream as they come; it may end before the run's last one. Raises httpx.TransportError."""
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        else:
            if {"id", "event", "data"} <= fields.keys():
                yield LoggedEvent(int(fields["id"]), fields["event"], fields["data"].encode())
            fields = {}
