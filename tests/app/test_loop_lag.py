"""Loop lag: a blocked event loop is seen, and forgotten once the window has passed."""

import asyncio
import time

import pytest

from app import loop_lag
from app.loop_lag import watched_loop
from app.telemetry import EVENT_LOOP_LAG_MAX
from tests.fixtures.server import Server


def seen() -> float:
    return float(next(iter(EVENT_LOOP_LAG_MAX.collect())).samples[0].value)


async def test_a_block_is_seen_while_it_is_in_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_lag, "SLOT_S", 0.05)
    monkeypatch.setattr(loop_lag, "SLOTS", 2)
    async with watched_loop():
        await asyncio.sleep(0.02)
        time.sleep(0.5)
        await asyncio.sleep(0.02)
        assert 0.45 <= seen() < 5
        async with asyncio.timeout(10):
            while seen() >= 0.45:
                await asyncio.sleep(0.02)


async def test_the_metrics_tell_it(server: Server) -> None:
    async def block() -> None:
        time.sleep(0.3)

    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(block(), server.loop))
    async with server.client() as client:
        async with asyncio.timeout(10):
            while "footnote_event_loop_lag_seconds_max 0.0\n" in (metrics := (await client.get("/metrics")).text):
                await asyncio.sleep(0.02)
    line = next(line for line in metrics.splitlines() if line.startswith("footnote_event_loop_lag_seconds_max "))
    assert float(line.split()[1]) >= 0.25
