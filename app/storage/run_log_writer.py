"""Run log, writing: the events of all runs of this worker go out together, in one call at a time.

A writer keeps its run's events until the end, so that a Redis that was away, or lost its last second, is filled up
again, and so that readers on the same worker are served from memory.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec
import structlog
from redis.asyncio import Redis

from app.domain.errors import RunFenced, RunLogUnavailable
from app.domain.run import LoggedEvent, RunEvent, encode_event
from app.storage.redis_faults import GONE, run_log_unavailable
from app.storage.topic import Topic

log = structlog.get_logger()

MANY = 8  # runs in one call, from which on the next one waits a moment for more of them
ENOUGH = 64  # with so many it does not wait: that would spare little and delay what goes through a busy worker most
COALESCE_S = 0.005  # it waits less, the nearer a call comes to that
RETRY_S = 0.5
RENEW_S = 10  # between two settings of a log's lifetime
BATCH = 512  # of one run in one call
Batch: TypeAlias = tuple[str, int, bool, Sequence[LoggedEvent]]
"""Consecutive events of one run: its log's key, the attempt that writes them, whether the lifetime begins anew."""
FENCED: Final = -1
GAP: Final = -2

# For each run of the batch (its key, attempt, first id, whether to set its lifetime anew, and the types and data of its
# events): appends the events first, first + 1, …; those that stand already are skipped. Returns for each run the last
# id, -1 when another attempt owns the log, -2 when earlier events are missing. Entries are numbered from 1 and never
# deleted, so that their number is the last id. All of it comes in one argument: packing hundreds of them one by one
# would take longer than everything else.
_APPEND = """
local ttl, lasts, call = ARGV[1], {}, redis.call
for at, run in ipairs(cmsgpack.unpack(ARGV[2])) do
    local key, attempt, first, renew, events = run[1], run[2], run[3], run[4], run[5]
    local owner_key = key .. ':attempt'
    local owner = tonumber(call('GET', owner_key) or 0)
    local last
    if attempt < owner then
        last = -1
    else
        last = call('XLEN', key)
        if first > last + 1 then
            last = -2
        else
            for i = 1, #events, 2 do
                local id = first + (i - 1) / 2
                if id > last then
                    last = id
                    call('XADD', key, id .. '-0', 't', events[i], 'd', events[i + 1])
                end
            end
            if renew or attempt > owner then
                call('SET', owner_key, attempt, 'EX', ttl)
                call('EXPIRE', key, ttl)
            end
            call('PUBLISH', key, last)
        end
    end
    lasts[at] = last
end
return cmsgpack.pack(lasts)
"""


class RunLogWriter:
    """Writes one attempt of a run. `put` never waits."""

    __slots__ = ("_error", "_events", "_flusher", "_renew_at", "_sent", "_topic", "attempt", "delayed", "key", "run_id")

    def __init__(
        self, run_id: UUID, key: str, attempt: int, earlier: Sequence[LoggedEvent], flusher: "Flusher", topic: Topic
    ) -> None:
        """`earlier`: what former attempts have written, from event 1 on."""
        self.run_id = run_id
        self.key = key
        self.attempt = attempt
        self._flusher = flusher
        self._topic = topic
        self._events = list(earlier)
        self._sent = len(self._events)
        self._error: RunFenced | None = None
        self.delayed = False
        self._renew_at = 0.0

    def put(self, event: RunEvent) -> int:
        """Give the event the next id and queue it; returns the id. Raises RunFenced once another attempt took over."""
        if self._error is not None:
            raise self._error
        event_id = len(self._events) + 1
        self._events.append(LoggedEvent(event_id, event.type, encode_event(event)))
        self._flusher.add(self)
        if self.delayed:
            self._topic.wake()
        return event_id

    def readable(self, after: int) -> list[LoggedEvent]:
        """What stands in the log from id `after` + 1 on; while Redis is away, what would."""
        end = len(self._events) if self.delayed else self._sent
        return self._events[after : min(end, after + BATCH)]

    @property
    def last_id(self) -> int:
        """The id of the newest event."""
        return len(self._events)

    @property
    def lag(self) -> int:
        """How many events do not stand in the log yet."""
        return 0 if self._error else len(self._events) - self._sent

    def unsent(self, now: float) -> Batch | None:
        """What goes out next; nothing once another attempt took over.

        The log's lifetime is to begin anew now and then, and with the last event.
        """
        events = self._events[self._sent : self._sent + BATCH]
        if self._error is not None or not events:
            return None
        renew = now >= self._renew_at or events[-1].terminal
        if renew:
            self._renew_at = now + RENEW_S
        return self.key, self.attempt, renew, events

    def settle(self, last: int) -> None:
        """Take what the log said to what was sent."""
        self.delayed = False
        if last == FENCED:
            self._error = RunFenced()
        else:
            # with a gap, Redis came back without what it had: all is here, so start over
            self._sent = 0 if last == GAP else min(last, len(self._events))
        self._topic.wake()
        if self.lag:
            self._flusher.add(self)

    def delay(self) -> None:
        """Redis is away."""
        self.delayed = True
        self._flusher.add(self)
        self._topic.wake()

    async def tried(self) -> None:
        """Wait until everything stands in the log, or Redis turns out to be away."""
        while self.lag and not self.delayed:
            await self._topic.wait()

    async def flushed(self, wait_s: float = 5) -> bool:
        """Wait until everything stands in the log; False when it did not within `wait_s`, as Redis is away."""
        try:
            async with asyncio.timeout(wait_s):
                while self.lag:
                    await self._topic.wait()
        except TimeoutError:
            return False
        return True


class Flusher:
    """Sends what the writers have, all of them in one call, as soon as the call before is answered."""

    def __init__(self, redis: Redis, ttl_s: int) -> None:
        # a connection of its own: taking one from the pool for each call would be half of the call's cost
        self._redis = Redis(connection_pool=redis.connection_pool, single_connection_client=True)
        self._append = self._redis.register_script(_APPEND)
        self._ttl_s = ttl_s
        self._writers: dict[RunLogWriter, None] = {}
        self._pending = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, writer: RunLogWriter) -> None:
        """This one has something to send."""
        self._writers[writer] = None
        self._pending.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._flush(), name="run-log-flusher")

    async def close(self) -> None:
        """Stop sending."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        try:
            await self._redis.aclose()
        except GONE:  # the connection goes with this process anyway
            return

    async def append(self, batches: Sequence[Batch]) -> list[int]:
        """Append each run's events, all at once; each log's last id, FENCED or GAP.

        Raises RunLogUnavailable.
        """
        batch = [
            # as text: Redis' MessagePack knows no bytes
            (key, attempt, events[0].id, renew, [part for e in events for part in (e.type, e.data.decode())])
            for key, attempt, renew, events in batches
        ]
        with run_log_unavailable():
            lasts: Any = await self._append((), (self._ttl_s, msgspec.msgpack.encode(batch)))
        return msgspec.msgpack.decode(lasts, type=list[int])

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._pending.wait()
            self._pending.clear()
            now = loop.time()
            unsent = ((writer, writer.unsent(now)) for writer in self._writers)
            sent = {writer: batch for writer, batch in unsent if batch is not None}
            self._writers.clear()
            if not sent:
                continue
            try:
                lasts = await self.append(list(sent.values()))
            except RunLogUnavailable as error:
                if not any(writer.delayed for writer in sent):
                    log.warning("run_log.write_delayed", runs=len(sent), error=str(error.__cause__))
                for writer in sent:
                    writer.delay()
                await asyncio.sleep(RETRY_S)
                continue
            for writer, last in zip(sent, lasts, strict=True):
                writer.settle(last)
            if MANY <= len(sent) < ENOUGH:
                await asyncio.sleep(COALESCE_S * (1 - len(sent) / ENOUGH))
