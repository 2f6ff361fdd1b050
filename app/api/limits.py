"""Limits: what is turned away before it is read; plain ASGI, for a stream passes through here event by event."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import problem_response
from app.domain.errors import PayloadTooLarge

DRAIN_BYTES = 16_777_216
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1", "testserver"})


class BodyLimit:
    """Answers 413 to a body over `max_bytes`, whether it says so in its header or only turns out to be."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on while it is small enough."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdigit() and int(declared) > self._max_bytes:
            await self._refuse(scope, receive, send)
            return
        received, started = 0, False

        async def counting_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return {"type": "http.disconnect"} if received > self._max_bytes else message

        async def guarded_send(message: Message) -> None:
            nonlocal started
            # What the application says to a body that broke off is replaced by the reason.
            if started or received <= self._max_bytes:
                started = True
                await send(message)

        await self._app(scope, counting_receive, guarded_send)
        if received > self._max_bytes and not started:
            await self._refuse(scope, receive, send)

    def _message(self) -> str:
        return f"The request body is larger than {self._max_bytes} bytes (FOOTNOTE_MAX_BODY_BYTES)."

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = PayloadTooLarge(self._message())
        response = problem_response(
            413, error.code, "The request body is too large.", error.message, path=scope["path"]
        )
        response.headers["Connection"] = "close"
        await _drain(receive)
        await response(scope, receive, send)


async def _drain(receive: Receive) -> None:
    """Read what the client still sends, within bounds: one that is cut off while sending never sees the answer."""
    drained, more = 0, True
    while more and drained < DRAIN_BYTES:
        message = await receive()
        drained += len(message.get("body", b""))
        more = message["type"] == "http.request" and message.get("more_body", False)


class HostGuard:
    """Refuses foreign `Host` headers on a server without keys.

    It listens on loopback only, but a page of another site could reach it by letting its own name resolve to 127.0.0.1
    (DNS rebinding); its requests carry that name.
    """

    def __init__(self, app: ASGIApp, allowed: Sequence[str] = ()) -> None:
        self._app = app
        self._allowed = LOOPBACK_NAMES | set(allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on when it names this machine."""
        if scope["type"] == "http":
            host = urlsplit(f"//{Headers(scope=scope).get('host', '')}").hostname or ""
            if host not in self._allowed:
                detail = (
                    f"This server answers to localhost only, not to {host!r}. Set FOOTNOTE_API_KEYS for other names."
                )
                response = problem_response(421, "misdirected_request", "Wrong host name.", detail, path=scope["path"])
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)
