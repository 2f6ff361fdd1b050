"""Loop lag: how long the event loop was blocked, seen by a timer that comes late."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.telemetry import EVENT_LOOP_LAG_MAX

TICK_S = 0.01  # a block is seen too short by this at most
SLOT_S = 10.0
SLOTS = 6  # the window of the maximum: SLOTS * SLOT_S


@asynccontextmanager
async def watched_loop() -> AsyncIterator[None]:
    """Keep EVENT_LOOP_LAG_MAX up to date for the running loop while the block runs."""
    task = asyncio.create_task(_watch(), name="loop-lag")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _watch() -> None:
    loop = asyncio.get_running_loop()
    slots: deque[float] = deque([0.0], maxlen=SLOTS)
    slot_ends = loop.time() + SLOT_S
    while True:
        due = loop.time() + TICK_S
        await asyncio.sleep(TICK_S)
        now = loop.time()
        if now > slot_ends:
            slots.append(0.0)
            slot_ends = now + SLOT_S
            EVENT_LOOP_LAG_MAX.set(max(slots))
        if now - due > slots[-1]:
            slots[-1] = now - due
            EVENT_LOOP_LAG_MAX.set(max(slots))
