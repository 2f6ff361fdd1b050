"""Fetch: one page at a time over HTTP, politely, within limits, and from nowhere that is not public."""

import gzip
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from io import BytesIO

import httpcore
import httpx
from protego import Protego

from app import __version__
from app.domain.errors import FileTooLarge, UnreadableFile
from ingestion.sources.addresses import AddressRefused, Network, PublicNetwork
from ingestion.sources.source import Vanished

AGENT = "Footnote"
USER_AGENT = f"{AGENT}/{__version__}"
MAX_REDIRECTS = 5
MAX_ROBOTS_BYTES = 512_000  # RFC 9309 asks for at least 500 KiB
MAX_WAIT_S = 60.0  # as long as this is waited when a server says "try again later", or asks for between two pages
TRIES = 3
TIMEOUT_S = {"connect": 10.0, "read": 30.0, "write": 30.0, "pool": 10.0}
PAGE_TIMEOUT_S = 120.0

_ROBOTS = "/robots.txt"
_GZIP = {"gzip", "x-gzip"}
_REDIRECTS = {301, 302, 303, 307, 308}
_LATER = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}


@dataclass(frozen=True, slots=True)
class Fetched:
    """A response: its status, headers with lower-case names, body, and the URL that it came from in the end."""

    url: httpx.URL
    status: int
    headers: Mapping[str, str]
    body: bytes


class Fetcher:
    """Fetches pages for one source; not for several threads at once.

    Every connection, also after a redirect, goes to a public address or one of the networks `allowed` (see
    `PublicNetwork`). Each host is asked `requests_per_s` times a second at most, and only for what its robots.txt lets
    pass.
    """

    def __init__(
        self, *, requests_per_s: float, allowed: Sequence[Network] = (), sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._pause_s = 1 / requests_per_s
        self._sleep = sleep
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            network_backend=PublicNetwork(allowed),
            max_connections=4,
        )
        self._free_at: dict[str, float] = {}
        self._robots: dict[str, Protego | None] = {}

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()

    def get(self, url: str, *, max_bytes: int, headers: Mapping[str, str] | None = None) -> Fetched:
        """The page, or a response with status 304 when `headers` make the request conditional.

        Raises FileTooLarge, Vanished (404 and 410), UnreadableFile.
        """
        target = _page(url)
        for _ in range(MAX_REDIRECTS + 1):
            self._require_allowed(target)
            found = self._try(target, max_bytes, headers or {})
            if found.status not in _REDIRECTS:
                return _accepted(found)
            target = _page(str(target.join(found.headers.get("location", ""))))
        raise UnreadableFile(f"{url} leads through more than {MAX_REDIRECTS} redirects.")

    def _try(self, url: httpx.URL, max_bytes: int, headers: Mapping[str, str]) -> Fetched:
        """One response; a server that is busy is asked again after the time that it names."""
        for attempt in range(1, TRIES + 1):
            self._wait(url)
            found = self._request(url, max_bytes, headers)
            if found.status not in _LATER or attempt == TRIES:
                break
            self._sleep(min(MAX_WAIT_S, _seconds(found.headers.get("retry-after"), default=2.0**attempt)))
        return found

    def _request(self, url: httpx.URL, max_bytes: int, headers: Mapping[str, str]) -> Fetched:
        sent = {"host": url.netloc.decode("ascii"), "user-agent": USER_AGENT, "accept": "*/*", **headers}
        sent["accept-encoding"] = "identity"  # so that what is counted is what is kept
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        deadline, options = time.monotonic() + PAGE_TIMEOUT_S, {"timeout": TIMEOUT_S}
        try:
            with self._pool.stream("GET", target, headers=list(sent.items()), extensions=options) as response:
                received = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
                body = bytearray()
                if response.status == HTTPStatus.OK:
                    for part in response.iter_stream():
                        body += part
                        if len(body) > max_bytes:
                            raise FileTooLarge(f"The page has more than the limit of {max_bytes:,} bytes.")
                        if time.monotonic() > deadline:
                            raise UnreadableFile(f"The page did not arrive within {PAGE_TIMEOUT_S:.0f} s.")
                return Fetched(url, response.status, received, _plain(bytes(body), received, max_bytes))
        except AddressRefused as error:
            raise UnreadableFile(f"Not fetched: {error}.") from error
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            reason = str(error) or type(error).__name__
            raise UnreadableFile(f"{url.host} could not be reached ({reason}); try again later.") from error

    def _wait(self, url: httpx.URL) -> None:
        """Let the host rest between two requests, as long as its robots.txt wants."""
        origin, now = _origin(url), time.monotonic()
        self._sleep(max(0.0, self._free_at.get(origin, now) - now))
        robots = self._robots.get(origin)
        delay = (robots.crawl_delay(AGENT) if robots else None) or 0.0
        self._free_at[origin] = time.monotonic() + min(MAX_WAIT_S, max(self._pause_s, delay))

    def _require_allowed(self, url: httpx.URL) -> None:
        """Raise UnreadableFile for a page that the host's robots.txt keeps from Footnote."""
        origin = _origin(url)
        if origin not in self._robots:
            self._robots[origin] = self._read_robots(url)
        robots = self._robots[origin]
        if robots is None:
            raise UnreadableFile(f"{origin}{_ROBOTS} could not be read, so nothing is fetched there; try again later.")
        if not robots.can_fetch(str(url), AGENT):
            raise UnreadableFile(f"{origin}{_ROBOTS} keeps Footnote from this page.")

    def _read_robots(self, page: httpx.URL) -> Protego | None:
        """The rules of a host (RFC 9309): none when there is no such file; None when the server fails."""
        target = page.copy_with(raw_path=_ROBOTS.encode())
        for _ in range(MAX_REDIRECTS + 1):
            found = self._try(target, MAX_ROBOTS_BYTES, {})
            if found.status not in _REDIRECTS:
                break
            target = _page(str(target.join(found.headers.get("location", ""))))
        if found.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return None
        text = found.body.decode("utf-8-sig", "replace") if found.status == HTTPStatus.OK else ""
        return Protego.parse(text)


def _page(url: str) -> httpx.URL:
    """The URL without its fragment. Raises UnreadableFile for one that is not fetched over HTTP."""
    try:
        parsed = httpx.URL(url)
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            raise UnreadableFile(f"{url} is not an http:// or https:// address.")
        if parsed.userinfo:
            raise UnreadableFile("The address has a user name in it, which would be stored with the document.")
        return parsed.copy_with(fragment=None)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise UnreadableFile(f"{url} is not an address: {error}") from error


def _accepted(found: Fetched) -> Fetched:
    if found.status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
        raise Vanished(f"The server says that there is no such page ({found.status}).")
    if found.status not in {HTTPStatus.OK, HTTPStatus.NOT_MODIFIED}:
        raise UnreadableFile(f"The server answered with status {found.status}.")
    if (coding := _coding(found.headers)) not in {"identity", *_GZIP}:
        raise UnreadableFile(f"The server sends the page compressed ({coding}) although it was asked not to.")
    return found


def _coding(headers: Mapping[str, str]) -> str:
    return headers.get("content-encoding", "").strip().lower() or "identity"


def _plain(body: bytes, headers: Mapping[str, str], max_bytes: int) -> bytes:
    """The body out of gzip, which stores of files send to whoever asks. Raises FileTooLarge, UnreadableFile."""
    if not body or _coding(headers) not in _GZIP:
        return body
    try:
        with gzip.GzipFile(fileobj=BytesIO(body)) as packed:
            plain = packed.read(max_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableFile(f"The page is compressed and damaged: {error}.") from error
    if len(plain) > max_bytes:
        raise FileTooLarge(f"The page has more than the limit of {max_bytes:,} bytes.")
    return plain


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def _seconds(text: str | None, *, default: float) -> float:
    return float(text) if text and text.isdecimal() else default
