"""Bell: one subscription for everything that this process listens to in Redis."""

import asyncio
from collections import Counter
from collections.abc import Callable

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from app.storage.redis_faults import GONE

log = structlog.get_logger()

TICK_S = 1.0
SPARE = 100  # subscriptions that may outlive their listeners


class Bell:
    """Calls `rung(channel, message)` for what comes on the channels that were added.

    A message can be lost while Redis is away or before a channel's subscription stands; whoever listens looks by itself
    from time to time.
    """

    def __init__(self, redis: Redis, rung: Callable[[str, str], None]) -> None:
        self._redis = redis
        self._rung = rung
        self._channels: Counter[str] = Counter()
        self._pubsub: PubSub | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def add(self, channel: str) -> None:
        """Listen to one more channel; as often as it is added it must be removed."""
        self._channels[channel] += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._listen(), name="bell")
        elif self._channels[channel] == 1 and self._pubsub is not None:
            await self._tell(self._pubsub.subscribe, channel)

    def remove(self, channel: str) -> None:
        """Listen to it no more."""
        self._channels[channel] -= 1
        if self._channels[channel] <= 0:
            del self._channels[channel]

    async def drop(self, channel: str) -> None:
        """Listen to it no more, at once."""
        self.remove(channel)
        if self._pubsub is not None and channel not in self._channels:
            await self._tell(self._pubsub.unsubscribe, channel)

    async def close(self) -> None:
        """Listen to nothing."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _tell(self, command: Callable[..., object], *channels: str) -> None:
        try:
            await command(*channels)  # type: ignore[misc]
        except (
            *GONE,
            RuntimeError,
        ) as error:  # the latter is uvloop's, of a closed connection; the listener notices as well and begins anew
            log.warning("bell.not_subscribed", error=str(error))

    async def _tidy(self, pubsub: PubSub) -> None:
        """Bring the subscriptions in step with the channels."""
        known = {name.decode() for name in pubsub.channels}
        if gone := known - self._channels.keys():
            await pubsub.unsubscribe(*gone)
        if missing := self._channels.keys() - known:
            await pubsub.subscribe(*missing)

    async def _listen(self) -> None:
        lost = False
        # redis-py can swallow a cancellation while it connects, hence the flag
        while not self._closed:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(*self._channels)
                    self._pubsub = pubsub
                    await self._tidy(pubsub)
                    lost = False
                    while not self._closed:
                        message = await pubsub.get_message(timeout=TICK_S)
                        if message is not None:
                            self._rung(message["channel"].decode(), message["data"].decode())
                        if message is None or len(pubsub.channels) > 2 * len(self._channels) + SPARE:
                            await self._tidy(pubsub)
            except GONE as error:
                self._pubsub = None
                if not lost:
                    log.warning("bell.lost", error=str(error))
                lost = True
                await asyncio.sleep(TICK_S)
