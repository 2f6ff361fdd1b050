"""Run log, writing: the events of all runs of this worker go out together, in one call at a time.

A writer keeps its run's events until the end, so that a Redis that was away, or lost its last second, is filled up
again, and so that readers on the same worker are served from memory.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import UUID

import structlog
from redis.asyncio import Redis

from app.domain.errors import RunFenced, RunLogUnavailable
from app.domain.run import LoggedEvent, RunEvent, encode_event
from app.storage.redis_faults import run_log_unavailable

log = structlog.get_logger()

COALESCE_S = 0.003  # between two calls; what comes meanwhile goes with the next one
RETRY_S = 0.5
BATCH = 512  # of one run in one call
FENCED: Final = -1
GAP: Final = -2

# For each run (KEYS: stream, attempt; ARGV after the ttl: attempt, first id, n, then n times type and data): appends
# the events first, first + 1, …; those that stand already are skipped. Returns for each run the last id, -1 when
# another attempt owns the log, -2 when earlier events are missing.
_APPEND = """
local ttl, at, lasts = ARGV[1], 2, {}
for k = 1, #KEYS, 2 do
    local attempt, first, n = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    at = at + 3
    local owner = tonumber(redis.call('GET', KEYS[k + 1]) or '0')
    local last
    if attempt < owner then
        last = -1
    else
        local entry = redis.call('XREVRANGE', KEYS[k], '+', '-', 'COUNT', 1)[1]
        last = entry and tonumber(string.match(entry[1], '^%d+')) or 0
        if first > last + 1 then
            last = -2
        else
            for i = 0, n - 1 do
                if first + i > last then
                    last = first + i
                    redis.call('XADD', KEYS[k], string.format('%d-0', last), 't', ARGV[at + 2 * i],
                        'd', ARGV[at + 2 * i + 1])
                end
            end
            redis.call('SET', KEYS[k + 1], attempt, 'EX', ttl)
            redis.call('EXPIRE', KEYS[k], ttl)
            redis.call('PUBLISH', KEYS[k], last)
        end
    end
    lasts[#lasts + 1] = last
    at = at + 2 * n
end
return lasts
"""


class RunLogWriter:
    """Writes one attempt of a run. `put` never waits."""

    def __init__(
        self, run_id: UUID, attempt: int, earlier: Sequence[LoggedEvent], flusher: "Flusher", wake: Callable[[], None]
    ) -> None:
        """`earlier`: what former attempts have written, from event 1 on. `wake` tells this worker's readers."""
        self.run_id = run_id
        self.attempt = attempt
        self._flusher = flusher
        self._wake = wake
        self._events = list(earlier)
        self._sent = len(self._events)
        self._flushed = asyncio.Event()
        self._flushed.set()
        self._tried = asyncio.Event()
        self._tried.set()
        self._error: RunFenced | None = None
        self.delayed = False

    def put(self, event: RunEvent) -> int:
        """Give the event the next id and queue it; returns the id. Raises RunFenced once another attempt took over."""
        if self._error is not None:
            raise self._error
        event_id = len(self._events) + 1
        self._events.append(LoggedEvent(event_id, event.type, encode_event(event)))
        self._flushed.clear()
        self._flusher.add(self)
        if self.delayed:
            self._wake()
        else:
            self._tried.clear()
        return event_id

    def readable(self, after: int) -> list[LoggedEvent]:
        """What stands in the log from id `after` + 1 on; while Redis is away, what would."""
        end = len(self._events) if self.delayed else self._sent
        return self._events[after : min(end, after + BATCH)]

    @property
    def lag(self) -> int:
        """How many events do not stand in the log yet."""
        return 0 if self._error else len(self._events) - self._sent

    def unsent(self) -> list[LoggedEvent]:
        """What goes out next; nothing once another attempt took over."""
        return [] if self._error else self._events[self._sent : self._sent + BATCH]

    def settle(self, last: int) -> None:
        """Take what the log said to what was sent."""
        self.delayed = False
        if last == FENCED:
            self._error = RunFenced()
        else:
            # with a gap, Redis came back without what it had: all is here, so start over
            self._sent = 0 if last == GAP else min(last, len(self._events))
        if self.lag:
            self._flusher.add(self)
        else:
            self._flushed.set()
            self._tried.set()
        self._wake()

    def delay(self) -> None:
        """Redis is away."""
        self.delayed = True
        self._tried.set()
        self._flusher.add(self)
        self._wake()

    async def tried(self) -> None:
        """Wait until everything stands in the log, or Redis turns out to be away."""
        await self._tried.wait()

    async def flushed(self, wait_s: float = 5) -> bool:
        """Wait until everything stands in the log; False when it did not within `wait_s`, as Redis is away."""
        try:
            async with asyncio.timeout(wait_s):
                await self._flushed.wait()
        except TimeoutError:
            return False
        return True


class Flusher:
    """Sends what the writers have, all of them in one call, as soon as the call before is answered."""

    def __init__(self, redis: Redis, key: Callable[[UUID], str], ttl_s: int) -> None:
        self._append = redis.register_script(_APPEND)
        self._key = key
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

    async def append(self, batches: Sequence[tuple[UUID, int, Sequence[LoggedEvent]]]) -> list[int]:
        """Append consecutive events to each (run, attempt) at once; returns each log's last id, FENCED or GAP.

        Raises RunLogUnavailable.
        """
        keys: list[str] = []
        args: list[Any] = [self._ttl_s]
        for run_id, attempt, events in batches:
            key = self._key(run_id)
            keys += (key, f"{key}:attempt")
            args += (attempt, events[0].id, len(events))
            for event in events:
                args += (event.type, event.data)
        with run_log_unavailable():
            return [int(last) for last in await self._append(keys, args)]

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._pending.wait()
            self._pending.clear()
            began = loop.time()
            waiting = [(writer, writer.unsent()) for writer in self._writers]
            self._writers.clear()
            sent = [(writer, events) for writer, events in waiting if events]
            if not sent:
                continue
            try:
                lasts = await self.append([(writer.run_id, writer.attempt, events) for writer, events in sent])
            except RunLogUnavailable as error:
                if not any(writer.delayed for writer, _ in sent):
                    log.warning("run_log.write_delayed", runs=len(sent), error=str(error.__cause__))
                for writer, _ in sent:
                    writer.delay()
                await asyncio.sleep(RETRY_S)
                continue
            for (writer, _), last in zip(sent, lasts, strict=True):
                writer.settle(last)
            await asyncio.sleep(max(0.0, began + COALESCE_S - loop.time()))
