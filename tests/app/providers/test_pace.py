"""Pace: what headers of limits mean."""

import pytest

from app.providers import pace
from app.providers.pace import Pace


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock, which stands still."""
    clock = [1000.0]
    monkeypatch.setattr(pace, "monotonic", lambda: clock[0])
    return clock


def waits(one: Pace) -> float:
    return round(max(0.0, one._not_before - pace.monotonic()), 3)


def told(kind: str, limit: int, remaining: int, reset: str) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{kind}": str(limit),
        f"x-ratelimit-remaining-{kind}": str(remaining),
        f"x-ratelimit-reset-{kind}": reset,
    }


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        (told("requests", 100, 50, "30s"), 0),
        (told("requests", 100, 0, "60s"), 2.4),  # four requests, of 100 a minute
        (told("requests", 100, 3, "58.2s"), 0.6),
        (told("requests", 3, 0, "1m0s"), 60),  # more than there ever are
        (told("tokens", 1_000_000, 900, "59s946ms"), 0.066),
        (told("tokens", 1_000_000, 0, "6m0s"), 0.72),
        (told("requests", 100, 0, "60s") | told("tokens", 10_000, 0, "1m"), 12),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "500ms"}, 0.5),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "2"}, 2),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "2027-01-01T00:00:00Z"}, 0),
        ({"x-ratelimit-remaining-requests": "-1", "x-ratelimit-reset-requests": "1s"}, 0),
        (told("requests", 100, 0, "3h"), pace._MOST_S),
    ],
)
def test_the_next_requests_wait_for_what_they_need(held: list[float], headers: dict[str, str], seconds: float) -> None:
    one = Pace()
    one.answered(headers, requests=4, tokens=2000)
    assert waits(one) == pytest.approx(seconds)


def test_refusals_wait_as_long_as_they_say_else_longer_each_time(held: list[float]) -> None:
    one, seen = Pace(), []
    for headers in ({}, {}, {"retry-after": "7"}, {"retry-after-ms": "250"}, {"retry-after": "a date"}, {}):
        assert one.refused(headers)
        seen.append(waits(one))
        assert one.refused({}), "one that went at the same time"
        assert waits(one) == seen[-1]
        held[0] += seen[-1]
    assert seen == [1, 2, 7, 0.25, 16, 32]
    one.answered({}, requests=4, tokens=0)
    assert one.refused({})
    assert waits(one) == 1


def test_patience_ends(held: list[float]) -> None:
    one = Pace()
    assert one.refused({})
    held[0] += pace.PATIENCE_S + 1
    assert not one.refused({})
