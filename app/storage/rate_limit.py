"""Rate limit: how many answers a caller may ask for in a minute, counted in Redis for all workers."""

from math import ceil
from time import time

import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from redis.asyncio import BlockingConnectionPool

from app.domain.errors import TooManyRequests
from app.domain.principal import Principal

log = structlog.get_logger()


class RateLimit:
    """Admits `per_minute` requests of each principal in any 60 seconds. While Redis is away, it admits all."""

    def __init__(self, url: str, *, per_minute: int, prefix: str = "footnote:limit") -> None:
        """Connections are made when first needed."""
        self._pool = BlockingConnectionPool.from_url(
            url, max_connections=16, timeout=2, socket_connect_timeout=1, socket_timeout=2
        )
        storage = RedisStorage(
            "async+redis://",
            wrap_exceptions=True,
            implementation="redispy",
            key_prefix=prefix,
            connection_pool=self._pool,  # type: ignore[arg-type] # limits' annotation leaves out what it documents
        )
        self._limiter = MovingWindowRateLimiter(storage)
        self._item = RateLimitItemPerMinute(per_minute)

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

    async def admit(self, principal: Principal) -> None:
        """Count one request. Raises TooManyRequests, which says when to try again."""
        caller = (str(principal.workspace_id), principal.name)
        try:
            if await self._limiter.hit(self._item, *caller):
                return
            window = await self._limiter.get_window_stats(self._item, *caller)
        except (StorageError, OSError) as error:
            log.warning("rate_limit.not_counted", error=str(error.__cause__ or error))
            return
        wait_s = max(1, ceil(window.reset_time - time()))
        raise TooManyRequests(
            f"{self._item.amount} answers a minute are allowed for each key; try again in {wait_s} s.", wait_s
        )
