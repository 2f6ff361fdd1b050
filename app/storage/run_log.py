"""Run log: the events of each run, in a Redis stream, written by one attempt and read by anyone.

`{prefix}run:{id}` is the stream, its entry ids are `N-0` with N = 1, 2, 3 …; `…:attempt` the attempt that may write,
and the age of `…:read` says when someone last read it on another worker than the one that writes.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo

from app.domain.errors import ConfigurationError
from app.domain.run import LoggedEvent, Take
from app.storage.bell import Bell
from app.storage.redis_faults import GONE, run_log_unavailable
from app.storage.run_log_writer import BATCH, Flusher, RunLogWriter
from app.storage.topic import Topic

NOTED_S = 86_400  # for which it is known when a run was read
POLL_S = 1.0  # a reader that hears nothing looks by itself, in case a notification was lost

# Fences out earlier attempts and returns what they have written.
_TAKE = """
local attempt = tonumber(ARGV[1])
if attempt < tonumber(redis.call('GET', KEYS[2]) or '0') then return {} end
redis.call('SET', KEYS[2], attempt, 'EX', ARGV[2])
return redis.call('XRANGE', KEYS[1], '-', '+')
"""


@dataclass(slots=True)
class _Reading:
    """Where a reader of a run stands: behind event `after`."""

    writers: Mapping[UUID, RunLogWriter]
    run_id: UUID
    after: int
    take: Take | None

    def taken(self) -> bool:
        """Have `take` take what there is to read; False when the reader is to look itself."""
        writer = self.writers.get(self.run_id)
        if self.take is None or writer is None:
            return False
        batch = writer.readable(self.after)
        if not batch:
            return True
        if batch[-1].terminal:
            return False
        self.after = batch[-1].id
        return self.take(batch) and len(batch) < BATCH


def _require_files(options: Mapping[str, Any]) -> None:
    """Raise ConfigurationError for a file of TLS that is not there: Redis's client would not say which."""
    for option in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        if (file := options.get(option)) and not Path(file).is_file():
            raise ConfigurationError(f"REDIS_URL: there is no file `{file}`, which its option {option} names.")


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
                retry=Retry(NoBackoff(), 1),  # a connection that its server has closed; who waits longer does it here
                driver_info=DriverInfo(),  # made for each connection otherwise, from the package's files
            )
            pool.make_connection()  # type: ignore[no-untyped-call] # looks at the URL's options, connects to nothing
        except (ValueError, TypeError) as error:
            raise ConfigurationError(
                "REDIS_URL must look like redis://:password@host:6379/0; behind a ? stand options of redis-py, such as "
                "ssl_ca_certs=FILE with rediss://."
            ) from error
        _require_files(pool.connection_kwargs)
        self._redis: Redis = Redis.from_pool(pool)
        self._take = self._redis.register_script(_TAKE)
        self._prefix = prefix
        self._ttl_s = ttl_s
        self._flusher = Flusher(self._redis, ttl_s)
        self._writers: dict[UUID, RunLogWriter] = {}
        self._topics: dict[UUID, Topic] = {}
        self._ticker: asyncio.Task[None] | None = None
        self._bell = Bell(self._redis, self._rung)
        self._control: str | None = None
        self._told: Callable[[str], None] | None = None
        self._let_go = False

    async def close(self) -> None:
        """Stop listening and close the connections."""
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        await self._bell.close()
        await self._flusher.close()
        try:
            await self._redis.aclose()
        except GONE:  # the connections go with this process anyway
            return

    async def ping(self) -> None:
        """Raise RunLogUnavailable when Redis does not answer, or takes nothing.

        As a replica, one that is full, or one whose user has no right to the keys or channels of Footnote.
        """
        with run_log_unavailable():
            await self._redis.set(f"{self._prefix}ping", "", px=1)
            await self._redis.publish(f"{self._prefix}ping", "")

    async def describe(self) -> str:
        """The server's name and version. Raises RunLogUnavailable, also when it takes nothing."""
        await self.ping()
        with run_log_unavailable():
            # not INFO, which is for administrators
            hello: Any = await self._redis.execute_command("HELLO", 3)  # type: ignore[no-untyped-call]
        return f"{hello[b'server'].decode()} {hello[b'version'].decode()}"

    def _key(self, run_id: UUID) -> str:
        return f"{self._prefix}run:{run_id}"

    # --- writing

    def writer(self, run_id: UUID, attempt: int, earlier: Sequence[LoggedEvent] = ()) -> RunLogWriter:
        """The writer of one attempt; `earlier` is what `take` returned."""
        writer = RunLogWriter(run_id, self._key(run_id), attempt, earlier, self._flusher, self._topic(run_id))
        self._writers[run_id] = writer
        return writer

    async def append(self, run_id: UUID, attempt: int, events: Sequence[LoggedEvent]) -> int:
        """Append consecutive events without a writer; returns the log's last id, FENCED or GAP.

        Raises RunLogUnavailable.
        """
        return (await self._flusher.append([(self._key(run_id), attempt, True, events)]))[0]

    async def take(self, run_id: UUID, attempt: int) -> list[LoggedEvent]:
        """Fence out every earlier attempt, in the same moment reading all it has written. Raises RunLogUnavailable."""
        key = self._key(run_id)
        with run_log_unavailable():
            entries: Any = await self._take([key, f"{key}:attempt"], [attempt, self._ttl_s])
        return [LoggedEvent(_number(entry_id), fields[1].decode(), fields[3]) for entry_id, fields in entries]

    def done(self, writer: RunLogWriter) -> None:
        """The writer is done; from now on the log alone speaks for its run."""
        if self._writers.get(writer.run_id) is writer:
            del self._writers[writer.run_id]
        self.wake(writer.run_id)
        self._tidy(writer.run_id)

    @property
    def lag(self) -> int:
        """How many events of this worker do not stand in the log yet."""
        return sum(writer.lag for writer in self._writers.values())

    # --- reading

    async def events(self, run_id: UUID, *, after: int = 0, limit: int = BATCH) -> list[LoggedEvent]:
        """Events that stand in the log now, from id `after` + 1 on."""
        with run_log_unavailable():
            entries: Any = await self._redis.xrange(self._key(run_id), min=f"({after}-0", count=limit)
        return [_logged(entry) for entry in entries]

    async def last(self, run_id: UUID) -> LoggedEvent | None:
        """The newest event; None when there is no log (any more)."""
        with run_log_unavailable():
            entries: Any = await self._redis.xrevrange(self._key(run_id), count=1)
        return _logged(entries[0]) if entries else None

    async def read(
        self, run_id: UUID, *, after: int = 0, take: Take | None = None
    ) -> AsyncGenerator[list[LoggedEvent], None]:
        """Every event from id `after` + 1 to the run's last one, as they come, those that came together in one list.

        Waits for what is not written yet, and gives an empty list when nothing came for POLL_S or a little longer; a
        slow consumer costs nothing. While Redis is away, a run of this worker is read from its writer. Ends without a
        terminal event when the log has none and vanishes, and on `let_go`.

        `take`, if given, gets what is written on this worker while this waits, without the reader's task being woken
        for it: all but the last event, and none of it is yielded again. When it is false, an empty list follows.
        Raises RunLogUnavailable.
        """
        topic = self._topic(run_id)
        topic.readers += 1
        key, listening = self._key(run_id), False
        reading = _Reading(self._writers, run_id, after, take)
        try:
            while True:
                writer = self._writers.get(run_id)
                if writer is not None:
                    batch = writer.readable(reading.after)
                else:
                    if self._let_go:
                        return
                    if not listening:
                        await self._bell.add(key)
                        listening = True
                    batch = await self.events(run_id, after=reading.after)
                if batch:
                    yield batch
                    reading.after = batch[-1].id
                    if batch[-1].terminal:
                        return
                    continue
                if writer is None:
                    last = await self.last(run_id)
                    if last is None or (last.terminal and last.id <= reading.after):
                        return
                if not await topic.wait(None if take is None or writer is None else reading.taken):
                    yield []
        finally:
            if listening:
                self._bell.remove(key)
            topic.readers -= 1
            self._tidy(run_id)

    def _topic(self, run_id: UUID) -> Topic:
        """Those who wait for the run's events; there while it is written or read here."""
        topic = self._topics.get(run_id)
        if topic is None:
            topic = self._topics[run_id] = Topic()
            if self._ticker is None:
                self._ticker = asyncio.create_task(self._tick(), name="run-log-ticker")
        return topic

    def _tidy(self, run_id: UUID) -> None:
        topic = self._topics.get(run_id)
        if topic is not None and not topic.readers and run_id not in self._writers:
            del self._topics[run_id]

    async def _tick(self) -> None:
        """Let readers look by themselves now and then, in case a notification was lost."""
        while True:
            await asyncio.sleep(POLL_S)
            for topic in list(self._topics.values()):
                topic.tick()

    def wake(self, run_id: UUID) -> None:
        """Let this worker's readers of a run look again."""
        topic = self._topics.get(run_id)
        if topic is not None:
            topic.wake()

    def let_go(self) -> None:
        """End every reader of a run that others write, so that its client goes to one of them."""
        self._let_go = True
        for topic in self._topics.values():
            topic.wake()

    async def note_readers(self) -> None:
        """Let the workers that write them, or will, know which runs are read here."""
        remote = [run_id for run_id, topic in self._topics.items() if topic.readers and run_id not in self._writers]
        if remote:
            with run_log_unavailable():
                async with self._redis.pipeline(transaction=False) as pipeline:
                    for run_id in remote:
                        pipeline.set(f"{self._key(run_id)}:read", 1, ex=NOTED_S)
                    await pipeline.execute()

    async def read_before(self, run_ids: Collection[UUID]) -> dict[UUID, float]:
        """How many seconds ago each of the runs was read, on any worker; those that nobody read are left out.

        Raises RunLogUnavailable.
        """
        read = dict.fromkeys((run_id for run_id in run_ids if self._topic(run_id).readers), 0.0)
        others = [run_id for run_id in run_ids if run_id not in read]
        if others:
            with run_log_unavailable():
                async with self._redis.pipeline(transaction=False) as pipeline:
                    for run_id in others:
                        pipeline.pttl(f"{self._key(run_id)}:read")
                    left_ms: list[int] = await pipeline.execute()
            read |= {id_: NOTED_S - left / 1000 for id_, left in zip(others, left_ms, strict=True) if left >= 0}
        return read

    # --- the workers among themselves

    async def listen(self, fleet: str, told: Callable[[str], None]) -> None:
        """From now on hear what the workers of the same `fleet` tell; Redis may be away meanwhile."""
        self._control, self._told = f"{self._prefix}workers:{fleet}", told
        await self._bell.add(self._control)

    async def leave(self) -> None:
        """Hear no more of it, and count no more as one of the fleet."""
        if self._control is not None and self._told is not None:
            self._told = None
            await self._bell.drop(self._control)

    async def tell(self, message: str) -> None:
        """Tell all workers of the fleet, this one included. Raises RunLogUnavailable."""
        if self._control is not None:
            with run_log_unavailable():
                await self._redis.publish(self._control, message)

    async def workers(self) -> int:
        """How many workers of the fleet listen. Raises RunLogUnavailable."""
        if self._control is None:
            return 0
        with run_log_unavailable():
            counts: Any = await self._redis.pubsub_numsub(self._control)
        return int(counts[0][1])

    def _rung(self, channel: str, message: str) -> None:
        if channel == self._control:
            if self._told is not None:
                self._told(message)
        else:
            self.wake(UUID(channel.rpartition(":")[2]))


def _number(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[0])


def _logged(entry: Any) -> LoggedEvent:
    entry_id, fields = entry
    return LoggedEvent(_number(entry_id), fields[b"t"].decode(), fields[b"d"])
