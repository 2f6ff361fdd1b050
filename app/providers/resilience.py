"""Resilience: what a provider's failure means, and what to do about it."""

import sys
from dataclasses import dataclass
from urllib.parse import urlsplit

from app.domain.errors import ProviderError, ProviderRejected, ProviderTimedOut, ProviderUnavailable

_DETAIL_CHARS = 300
_TIMEOUTS = (
    ("httpx", "TimeoutException"),
    ("httpx2", "TimeoutException"),  # anthropic's
    ("openai", "APITimeoutError"),
    ("langchain_core.exceptions", "ModelTimeoutError"),
)
_CONNECTIONS = (
    ("httpx", "TransportError"),
    ("httpx2", "TransportError"),
    ("openai", "APIConnectionError"),
    ("langchain_core.exceptions", "ModelConnectionError"),
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model at a provider: what messages call it, and the `secrets` that they must never show."""

    provider: str
    model: str
    setting: str
    base_url: str | None = None
    key_variable: str | None = None
    secrets: tuple[str, ...] = ()
    timeout_setting: str = "FOOTNOTE_CHAT_TIMEOUT_S"

    @property
    def place(self) -> str:
        """The address without user or password, or the provider's name."""
        if not self.base_url:
            return f"`{self.provider}`"
        parts = urlsplit(self.base_url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}{parts.path.rstrip('/')}"

    def failure(self, error: BaseException) -> ProviderError:
        """What `error`, raised by a provider's package, means here; classified by its type and status code."""
        if isinstance(error, ProviderError):
            return error
        status = _status(error)
        if status is not None:
            return self._answered(status, error)
        if _is_timeout(error):
            return self.timed_out()
        if _is_connection(error):
            return ProviderUnavailable(
                f"Cannot reach {self.place}, or it broke off: check that it runs, and that {self.setting} and its "
                "base URL are right."
            )
        return ProviderUnavailable(
            f"{self.place} sent something unexpected ({type(error).__name__}: {self._clean(str(error))})."
        )

    def timed_out(self) -> ProviderTimedOut:
        """It was silent for too long."""
        return ProviderTimedOut(f"{self.place} did not answer in time; try again, or raise {self.timeout_setting}.")

    def unlike(self, said: str = "") -> ProviderUnavailable:
        """It answered with something else than its protocol has, such as a page; `said` is that, or what is wrong."""
        quoted = f" (“{self._clean(said)}”)" if said.strip() else ""
        return ProviderUnavailable(
            f"{self.place} sent something else than an answer{quoted}: check that {self.setting} and its base URL are "
            "right, which often ends in /v1."
        )

    def broke_off(self) -> ProviderUnavailable:
        """The stream ended without saying why."""
        return ProviderUnavailable(f"{self.place} broke off in the middle of its answer; try again.")

    def withheld(self, reason: str) -> ProviderRejected:
        """Its filter, or the model itself, ended the answer; `reason` is what it calls that."""
        return ProviderRejected(
            f"{self.place} withheld the answer, or the rest of it ({reason}); ask in other words, or look at the "
            "provider's content filter."
        )

    def _answered(self, status: int, error: BaseException) -> ProviderError:
        """The provider answered with an HTTP error."""
        place = self.place
        if status in {401, 403}:
            # its own words are left out: some providers repeat the key in them
            key = self.key_variable or "its credentials"
            return ProviderRejected(f"{place} refused the API key ({status}); check {key}.")
        if status == 404:
            return ProviderRejected(
                f"{place} knows no model `{self.model}` (404); check {self.setting} and its base URL."
            )
        if status == 429:
            return ProviderRejected(f"{place} limits requests (429); wait a little, or check the account's quota.")
        if status in {408, 504}:
            return self.timed_out()
        detail = self._clean(_detail(error))
        if status >= 500:
            return ProviderUnavailable(f"{place} failed ({status}): {detail}; try again shortly.")
        return ProviderRejected(f"{place} refused the request ({status}): {detail}")

    def _clean(self, text: str) -> str:
        for secret in filter(None, self.secrets):
            text = text.replace(secret, "•••")
        return " ".join(text.split())[:_DETAIL_CHARS]


def _status(error: BaseException) -> int | None:
    """The HTTP status that every provider's package puts on its errors, one way or another."""
    for holder in (error, getattr(error, "response", None)):
        status = getattr(holder, "status_code", None)
        if isinstance(status, int) and status > 0:
            return status
    return None


def _detail(error: BaseException) -> str:
    """The provider's own words."""
    body = getattr(error, "body", None)
    if isinstance(body, dict):
        inner = body.get("error", body)
        message = inner.get("message") if isinstance(inner, dict) else inner
        if isinstance(message, str):
            return message
    return str(error)


def _is_timeout(error: BaseException) -> bool:
    return isinstance(error, TimeoutError) or _is_any(error, _TIMEOUTS)


def _is_connection(error: BaseException) -> bool:
    return isinstance(error, OSError) or _is_any(error, _CONNECTIONS)


def _is_any(error: BaseException, kinds: tuple[tuple[str, str], ...]) -> bool:
    """Whether it is of one of these classes; a module that is not loaded, and slow to load, has raised nothing."""
    return any(isinstance(error, getattr(sys.modules[module], name)) for module, name in kinds if module in sys.modules)
