"""Pace: how fast a provider wants to be asked, by the headers in which its answers tell its limits."""

import asyncio
import re
from collections.abc import Mapping
from time import monotonic

import structlog

log = structlog.get_logger()

PATIENCE_S = 600.0
"""Refusals in a row are waited for no longer."""
_MOST_S = 120.0  # of one wait, whatever a header says
_FIRST_S = 1.0  # where a refusal does not say how long; twice as long at the next
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_SECONDS = {"ms": 1e-3, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Pace:
    """When the next request may go; one for all requests to a provider."""

    def __init__(self) -> None:
        self._not_before = 0.0
        self._refused_since: float | None = None
        self._refusals = 0

    async def wait(self) -> None:
        """Wait until the provider takes another request."""
        while True:  # others may have been refused meanwhile
            seconds = self._not_before - monotonic()
            if seconds <= 0:
                return
            await asyncio.sleep(seconds)

    def answered(self, headers: Mapping[str, str], *, requests: int, tokens: int) -> None:
        """Note what an answer says is left; the next so many requests and tokens wait until there is enough of it.

        The headers are OpenAI's, which others have taken over: `x-ratelimit-limit-…`, `-remaining-…` and `-reset-…`.
        """
        self._refused_since, self._refusals = None, 0
        for kind, needed in (("requests", requests), ("tokens", tokens)):
            self._hold(_missing_s(headers, kind, needed))

    def refused(self, headers: Mapping[str, str]) -> bool:
        """Note that there were too many requests; False when that has been so for too long."""
        now = monotonic()
        if self._refused_since is None:
            self._refused_since = now
        if now - self._refused_since > PATIENCE_S:
            return False
        if self._not_before <= now:  # else those that went together are refused together
            self._refusals += 1
            asked = _seconds(headers.get("retry-after-ms", ""), unit="ms") or _seconds(headers.get("retry-after", ""))
            self._hold(asked or _FIRST_S * 2 ** (self._refusals - 1))
            log.info("embedder.limited", wait_s=round(self._not_before - now, 1))
        return True

    def _hold(self, seconds: float) -> None:
        self._not_before = max(self._not_before, monotonic() + min(seconds, _MOST_S))


def _missing_s(headers: Mapping[str, str], kind: str, needed: int) -> float:
    """How long it takes until so much is left, as it comes back evenly; 0 where the headers do not say."""
    names = (f"x-ratelimit-{what}-{kind}" for what in ("limit", "remaining"))
    limit, remaining = (int(value) if (value := headers.get(name, "")).isdigit() else None for name in names)
    reset_s = _seconds(headers.get(f"x-ratelimit-reset-{kind}", ""))
    if remaining is None or reset_s is None:
        return 0.0
    if limit is None or limit <= remaining:
        return 0.0 if remaining >= needed else reset_s
    return reset_s * max(0.0, min(needed, limit) - remaining) / (limit - remaining)


def _seconds(text: str, *, unit: str = "") -> float | None:
    """A duration such as `6m0s`, `12ms` or `1.5`; None where it is none, a date for one."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + of for number, of in parts) != text.strip():
        return None
    return sum(float(number) * _SECONDS[of or unit] for number, of in parts)
