"""Limits: what is turned away before it is read; plain ASGI, for a stream passes through here event by event."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import problem_response
from app.domain.errors import PayloadTooLarge

DRAIN_BYTES = 16_777_216
FORM_BYTES = 65_536  # of a form beside its file
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1", "testserver"})


class BodyLimit:
    """Answers 413 to a body over `max_bytes`, whether it says so in its header or only turns out to be."""

    def __init__(self, app: ASGIApp, max_bytes: int, larger: Mapping[str, tuple[int, str]] | None = None) -> None:
        """`larger`: paths that take more, with the setting that says how much."""
        self._app = app
        self._usual = (max_bytes, "FOOTNOTE_MAX_BODY_BYTES")
        self._larger = larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on while it is small enough."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        max_bytes, setting = self._larger.get(scope["path"], self._usual)
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdigit() and int(declared) > max_bytes:
            await _refuse(max_bytes, setting, scope, receive, send)
            return
        received, started = 0, False

        async def counting_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return {"type": "http.disconnect"} if received > max_bytes else message

        async def guarded_send(message: Message) -> None:
            nonlocal started
            # What the application says to a body that broke off is replaced by the reason.
            if started or received <= max_bytes:
                started = True
                await send(message)

        await self._app(scope, counting_receive, guarded_send)
        if received > max_bytes and not started:
            await _refuse(max_bytes, setting, scope, receive, send)


async def _refuse(max_bytes: int, setting: str, scope: Scope, receive: Receive, send: Send) -> None:
    error = PayloadTooLarge(f"The request body is larger than {max_bytes} bytes ({setting}).")
    response = problem_response(413, error.code, "The request body is too large.", error.message, path=scope["path"])
    response.headers["Connection"] = "close"
    await _drain(receive, max(DRAIN_BYTES, 4 * max_bytes))
    await response(scope, receive, send)


async def _drain(receive: Receive, at_most: int) -> None:
    """Read what the client still sends, within bounds: one that is cut off while sending never sees the answer."""
    drained, more = 0, True
    while more and drained < at_most:
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
            host = _host_of(Headers(scope=scope))
            if host is None:
                detail = "The Host header is not a host name or an address."
                response = problem_response(400, "bad_request", "Bad Request", detail, path=scope["path"])
                await response(scope, receive, send)
                return
            if host not in self._allowed:
                detail = (
                    f"This server answers to localhost only, not to {host!r}. Set FOOTNOTE_API_KEYS for other names."
                )
                response = problem_response(421, "misdirected_request", "Wrong host name.", detail, path=scope["path"])
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _host_of(headers: Headers) -> str | None:
    """The name or address of the `Host` header; None when it is neither."""
    try:
        return urlsplit(f"//{headers.get('host', '')}").hostname or ""
    except ValueError:
        return None
