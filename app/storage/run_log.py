"""Run log: the events of each run, in a Redis stream, written by one attempt and read by anyone.

`{prefix}run:{id}` is the stream, its entry ids are `N-0` with N = 1, 2, 3 …; `{prefix}run:{id}:attempt` the attempt
that may write. A writer keeps its run's events until the end, so that a Redis that was away, or lost its last second,
is filled up again, and so that readers on the same worker go on meanwhile.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.driver_info import DriverInfo
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.domain.errors import ConfigurationError, RunFenced, RunLogUnavailable
from app.domain.run import LoggedEvent, RunEvent, encode_event

log = structlog.get_logger()

POLL_S = 1.0  # a reader looks by itself this often, in case a notification was lost
BATCH = 512
GAP = -2
_GONE = (RedisConnectionError, RedisTimeoutError, OSError)

# Appends events first, first + 1, …; those that stand already are skipped.
# Returns the last id, -1 when another attempt owns the log, -2 when earlier events are missing.
_APPEND = """
local attempt, ttl, first = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local owner = tonumber(redis.call('GET', KEYS[2]) or '0')
if attempt < owner then return -1 end
local entry = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local last = entry and tonumber(string.match(entry[1], '^%d+')) or 0
if first > last + 1 then return -2 end
for i = 4, #ARGV, 2 do
    local id = first + (i - 4) / 2
    if id > last then
        redis.call('XADD', KEYS[1], string.format('%d-0', id), 't', ARGV[i], 'd', ARGV[i + 1])
        last = id
    end
end
redis.call('SET', KEYS[2], attempt, 'EX', ttl)
redis.call('EXPIRE', KEYS[1], ttl)
redis.call('PUBLISH', KEYS[1], last)
return last
"""


class RunLog:
    """Opens writers and readers of run logs. Every failure to reach Redis is RunLogUnavailable."""

    def __init__(self, url: str, *, prefix: str = "footnote:", ttl_s: int = 3600) -> None:
        """`ttl_s` is how long a log can be resumed after its last event."""
        try:
            pool = BlockingConnectionPool.from_url(
                url,
                max_connections=64,
                timeout=5,
                socket_connect_timeout=2,
                socket_timeout=10,
                protocol=3,
                driver_info=DriverInfo(),  # made for each connection otherwise, from the package's files
            )
        except ValueError as error:
            raise ConfigurationError("REDIS_URL must look like redis://:password@host:6379/0.") from error
        self._redis: Redis = Redis.from_pool(pool)
        self._append = self._redis.register_script(_APPEND)
        self._prefix = prefix
        self._ttl_s = ttl_s
        self._writers: dict[UUID, RunLogWriter] = {}
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._listener: asyncio.Task[None] | None = None
        self._closed = False

    async def close(self) -> None:
        """Stop listening and close the connections."""
        self._closed = True
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        try:
            await self._redis.aclose()
        except (*_GONE, RedisError) as error:  # the connections go with this process anyway
            log.warning("run_log.not_closed", error=str(error))

    async def ping(self) -> None:
        """Raise RunLogUnavailable when Redis does not answer."""
        with _unavailable():
            await self._redis.ping()

    async def describe(self) -> str:
        """The server's name and version. Raises RunLogUnavailable."""
        with _unavailable():
            info: Any = await self._redis.info("server")
        name = info.get("server_name", "redis")
        return f"{name} {info.get(f'{name}_version', info.get('redis_version', '?'))}"

    def _key(self, run_id: UUID) -> str:
        return f"{self._prefix}run:{run_id}"

    def writer(self, run_id: UUID, attempt: int, *, after: int = 0) -> "RunLogWriter":
        """The writer of one attempt; its first event gets the id `after` + 1."""
        writer = RunLogWriter(self, run_id, attempt, after)
        self._writers[run_id] = writer
        return writer

    async def append(self, run_id: UUID, attempt: int, events: list[LoggedEvent]) -> int:
        """Append consecutive events at once; returns the log's last id, GAP when it lacks earlier ones.

        Raises RunFenced when a later attempt owns the log, RunLogUnavailable.
        """
        key = self._key(run_id)
        fields = [part for event in events for part in (event.type, event.data)]
        with _unavailable():
            last = int(await self._append([key, f"{key}:attempt"], [attempt, self._ttl_s, events[0].id, *fields]))
        if last == -1:
            raise RunFenced
        return last

    async def events(self, run_id: UUID, *, after: int = 0, limit: int = BATCH) -> list[LoggedEvent]:
        """Events that stand in the log now, from id `after` + 1 on."""
        with _unavailable():
            entries: Any = await self._redis.xrange(self._key(run_id), min=f"({after}-0", count=limit)
        return [_logged(entry) for entry in entries]

    async def last(self, run_id: UUID) -> LoggedEvent | None:
        """The newest event; None when there is no log (any more)."""
        with _unavailable():
            entries: Any = await self._redis.xrevrange(self._key(run_id), count=1)
        return _logged(entries[0]) if entries else None

    async def read(self, run_id: UUID, *, after: int = 0) -> AsyncGenerator[LoggedEvent, None]:
        """Every event from id `after` + 1 to the run's last one, as they come.

        Waits for what is not written yet; a slow consumer costs nothing. While Redis is away, a run of this worker is
        read from its writer. Ends without a terminal event when the log has none and vanishes.
        Raises RunLogUnavailable.
        """
        changed = asyncio.Event()
        key = self._key(run_id)
        self._waiting[key].add(changed)
        try:
            if self._listener is None or self._listener.done():
                self._listener = asyncio.create_task(self._listen(), name="run-log-listener")
            while True:
                changed.clear()
                batch = await self._next(run_id, after)
                for event in batch:
                    yield event
                    after = event.id
                    if event.terminal:
                        return
                if not batch:
                    if run_id not in self._writers:
                        last = await self.last(run_id)
                        if last is None or (last.terminal and last.id <= after):
                            return
                    await _wait(changed, POLL_S)
        finally:
            self._waiting[key].discard(changed)
            if not self._waiting[key]:
                del self._waiting[key]

    async def _next(self, run_id: UUID, after: int) -> list[LoggedEvent]:
        writer = self._writers.get(run_id)
        if writer is not None and writer.delayed:
            return writer.kept(after)
        try:
            return await self.events(run_id, after=after)
        except RunLogUnavailable:
            if writer is None:
                raise
            return writer.kept(after)

    def notify(self, run_id: UUID) -> None:
        """Wake this worker's readers of a run."""
        self._wake(self._key(run_id))

    def _wake(self, key: str) -> None:
        for changed in self._waiting.get(key, ()):
            changed.set()

    async def _listen(self) -> None:
        """One subscription for all readers of this worker; readers poll while it is away."""
        # redis-py can swallow a cancellation while it connects, hence the flag
        while not self._closed:
            try:
                async with self._redis.pubsub() as pubsub:
                    await pubsub.psubscribe(f"{self._prefix}run:*")
                    while not self._closed:
                        message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=POLL_S)
                        if message is not None:
                            self._wake(message["channel"].decode())
            except (*_GONE, RedisError) as error:
                log.warning("run_log.listener_lost", error=str(error))
                await asyncio.sleep(POLL_S)

    def forget(self, run_id: UUID) -> None:
        """The run's writer is done; from now on the log alone speaks for it."""
        self._writers.pop(run_id, None)


class RunLogWriter:
    """Writes one attempt of a run. `put` never waits; what piled up while Redis was busy goes out in one call."""

    def __init__(self, run_log: RunLog, run_id: UUID, attempt: int, after: int) -> None:
        self._log = run_log
        self._run_id = run_id
        self._attempt = attempt
        self._first = after + 1
        self._events: list[LoggedEvent] = []
        self._sent = 0
        self._pending = asyncio.Event()
        self._flushed = asyncio.Event()
        self._flushed.set()
        self._delayed = False
        self._error: RunFenced | None = None
        self._task = asyncio.create_task(self._flush(), name=f"run-log-writer-{run_id}")

    @property
    def delayed(self) -> bool:
        """Whether Redis is away; then only `kept` has the newest events."""
        return self._delayed

    def put(self, event: RunEvent) -> int:
        """Give the event the next id and queue it; returns the id. Raises RunFenced once another attempt took over."""
        if self._error is not None:
            raise self._error
        event_id = self._first + len(self._events)
        self._events.append(LoggedEvent(event_id, event.type, encode_event(event)))
        self._flushed.clear()
        self._pending.set()
        if self._delayed:
            self._log.notify(self._run_id)
        return event_id

    def kept(self, after: int) -> list[LoggedEvent]:
        """This attempt's events from id `after` + 1 on."""
        return self._events[max(0, after + 1 - self._first) :]

    async def _flush(self) -> None:
        while True:
            await self._pending.wait()
            self._pending.clear()
            while self._sent < len(self._events):
                try:
                    await self._send(self._events[self._sent : self._sent + BATCH])
                except RunLogUnavailable as error:
                    if not self._delayed:
                        log.warning("run_log.write_delayed", run_id=str(self._run_id), error=str(error.__cause__))
                    self._delayed = True
                    self._log.notify(self._run_id)
                    await asyncio.sleep(POLL_S / 2)
                except RunFenced as error:
                    self._error = error
                    self._flushed.set()
                    return
            self._flushed.set()

    async def _send(self, batch: list[LoggedEvent]) -> None:
        last = await self._log.append(self._run_id, self._attempt, batch)
        self._delayed = False
        if last == GAP:  # Redis came back without what it had; this attempt's events are all here, so start over
            if self._first > 1:
                raise RunFenced("The log of the earlier attempt is gone; this run cannot be continued.")
            self._sent = 0
            return
        self._sent = max(0, last + 1 - self._first)
        self._log.notify(self._run_id)

    async def close(self, *, wait_s: float = 5) -> None:
        """Wait until everything stands in the log (or `wait_s` went by while Redis was away), then stop."""
        await _wait(self._flushed, wait_s)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._log.forget(self._run_id)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


def _logged(entry: Any) -> LoggedEvent:
    entry_id, fields = entry
    return LoggedEvent(int(entry_id.split(b"-")[0]), fields[b"t"].decode(), fields[b"d"])


@contextmanager
def _unavailable() -> Iterator[None]:
    """Turns "Redis is not there" into RunLogUnavailable."""
    try:
        yield
    except (*_GONE, RedisError) as error:
        raise RunLogUnavailable from error
