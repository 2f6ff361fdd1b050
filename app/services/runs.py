"""Runs: each answer as a task of one worker, detached from whoever asked, its events in the log.

A run outlives its worker: another one takes it over and goes on where the log ends. Going away, stopping and
abandoning are three things: a client that disconnects changes nothing, `cancel` stops a run wherever it is written, and
a run that nobody reads for long is stopped by its worker.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import inf
from time import monotonic
from uuid import UUID

import structlog

from app.domain.conversation import ChatMessage, Message
from app.domain.errors import (
    CollectionNotFound,
    DatabaseUnavailable,
    FootnoteError,
    NotStorable,
    RunFenced,
    RunLogUnavailable,
    ShuttingDown,
    StopNotConfirmed,
)
from app.domain.ports import TokenCounter
from app.domain.principal import DEFAULT_WORKSPACE_ID, Principal
from app.domain.run import (
    LoggedEvent,
    Problem,
    Run,
    RunCancelled,
    RunEvent,
    RunFailed,
    RunQueued,
    RunState,
    Take,
    encode_event,
)
from app.services.answering import HISTORY_MESSAGES, Answering, Question
from app.services.outcome import INTERRUPTED, AnswerSoFar
from app.services.rendering import RENDERED, rendered, started, stored_end
from app.services.retrieval import Retrieval
from app.services.stored_question import restored, stored
from app.services.writing import UNEXPECTED, End, Writing
from app.storage.conversations import ConversationStore
from app.storage.rate_limit import RateLimit
from app.storage.run_creation import NewRun
from app.storage.run_log import RunLog
from app.storage.runs import Claimed, Outcome, RunStore
from app.telemetry import (
    ABANDONED,
    RUN_LOG_LAG,
    RUNS,
    RUNS_ACTIVE,
    RUNS_QUEUED,
    TAKE_OVERS,
    TIME_TO_FIRST_TOKEN,
    TRACER,
)

log = structlog.get_logger()

MAX_CRASHES = 3  # workers that may die over one run
SAVE_RETRY_S = 60  # PostgreSQL may be away this long at an answer's end before its client is told
STOP_WAIT_S = 10  # beyond a lease, for another worker to stop a run
LEAVE_S = 0.1  # in which workers that are ended together all leave, so that none hands over to another
HAND_OVER_S = 5
LEASES_AT_ONCE = 500
FREE = "free"  # told to all workers: there is a run that nobody writes
NOT_STORED = Problem(
    "database_unavailable",
    "The answer is not stored yet",
    "PostgreSQL is not reachable. The answer will be stored from its log once it is back.",
)
LOST_WORKERS = Problem(
    "interrupted",
    "The answer was interrupted",
    f"{MAX_CRASHES} workers in turn were lost while they wrote it. What they had is kept; ask again.",
)


@dataclass(frozen=True, slots=True)
class RunLimits:
    """How long and how many. `at_once` counts the runs of one principal, `written` those that are being written."""

    max_s: float
    lease_s: float
    at_once: int | None = None
    written: int | None = None
    abandon_after_s: float = 0


@dataclass(frozen=True, slots=True)
class Stopped:
    """How a run stands after it was asked to stop, and how much of its text was kept (code points, cl100k tokens)."""

    run_id: UUID
    state: RunState
    text_chars: int
    tokens: int


class Runs:
    """Starts, reads, stops runs, and takes over those that others lost."""

    def __init__(
        self,
        store: RunStore,
        conversations: ConversationStore,
        run_log: RunLog,
        answering: Answering,
        retrieval: Retrieval,
        count_tokens: TokenCounter,
        limits: RunLimits,
        rate_limit: RateLimit | None = None,
    ) -> None:
        """`rate_limit` holds for each principal."""
        self._store = store
        self._conversations = conversations
        self._log = run_log
        self._answering = answering
        self._retrieval = retrieval
        self._count_tokens = count_tokens
        self._limits = limits
        self._rate_limit = rate_limit
        self._active: dict[UUID, Writing] = {}
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._closed: list[UUID] = []  # runs that ended here and whose lease is to be given up
        self._closing = False
        self._handing_over = False
        self._takes_over = False
        self._look = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def active(self) -> int:
        """How many answers this worker is writing."""
        return len(self._active)

    async def open(self, fleet: str | None) -> None:
        """Begin to renew leases; as a worker of a fleet also to take over what nobody writes."""
        self._takes_over = fleet is not None
        if fleet is not None:
            await self._log.listen(fleet, self._told)
        self._keeper = asyncio.create_task(self._keep(), name="run-keeper")

    # --- the end of this worker

    async def hand_over(self) -> bool:
        """Take no more runs and let other workers go on with those under way; False when there is no other worker."""
        self._closing = True
        if not self._takes_over:
            return False
        await self._log.leave()
        await asyncio.sleep(LEAVE_S)
        try:
            if not await self._log.workers():
                return False
        except RunLogUnavailable:
            return False
        self._handing_over = True  # what is being started right now is given away as soon as it stands
        for writing in list(self._active.values()):
            writing.give_away()
        await self._ended(HAND_OVER_S)
        return True

    async def close(self, grace_s: float) -> None:
        """Take no more runs, give those under way `grace_s` to end, then interrupt them; each keeps its text."""
        if not await self.hand_over():
            await self._ended(grace_s)
            for writing in list(self._active.values()):
                writing.interrupt(RunFailed(INTERRUPTED))
        await self._ended(max(grace_s, 1.0))
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    async def _ended(self, wait_s: float) -> None:
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()), timeout=wait_s)

    # --- asking

    async def start(self, principal: Principal, question: Question) -> Run:
        """Store the question and begin to answer it; the answer goes on whoever reads it.

        Raises ConversationNotFound, ConversationBusy, CollectionNotFound, InvalidFilter, DatabaseUnavailable,
        ShuttingDown, TooManyRequests.
        """
        if self._closing:
            raise ShuttingDown
        limits = self._limits
        if limits.at_once is not None:  # a refusal for these does not count for those of a minute
            await self._store.require_few(principal.workspace_id, principal.name, limits.at_once)
        if self._rate_limit is not None:
            await self._rate_limit.admit(principal)
        if principal.collection is not None:
            if question.collection is not None and not principal.may_see(question.collection):
                raise CollectionNotFound
            question = replace(question, collection=principal.collection)
        if question.collection is not None:
            await self._retrieval.require_collection(principal, question.collection)
        await self._retrieval.require_filter(principal, question.filter)
        kept = stored(principal, question)
        new = NewRun(
            question.text,
            principal.name,
            question.conversation_id,
            question.collection,
            question.thread,
            kept,
            question.forgets_after,
            question.goes_on_after,
            question.request,
            principal.collection,
        )
        run, position = await self._store.create(
            principal.workspace_id, new, cap=limits.written, at_once=limits.at_once
        )
        writing = Writing(run, principal, question, self._log.writer(run.id, run.attempt), ())
        writing.emit(started(run))
        if position is not None:
            writing.emit(RunQueued(position))
            writing.give_away()
        self._begin(writing)
        return run

    # --- writing

    def _begin(self, writing: Writing) -> None:
        if self._handing_over:
            writing.give_away()
        self._active[writing.id] = writing
        self._tasks[writing.id] = asyncio.create_task(self._supervise(writing), name=f"run-{writing.id}")
        RUNS_ACTIVE.set(len(self._active))

    async def _supervise(self, writing: Writing) -> None:
        """See the writing to its end, and bring that into the store and then into the log."""
        run = writing.run
        about: dict[str, str | int] = {"footnote.run_id": str(run.id), "footnote.attempt": run.attempt}
        try:
            with TRACER.start_as_current_span("answer", attributes=about):
                await self._written(writing)
        except RunFenced:
            log.warning("run.fenced", run_id=str(run.id), attempt=run.attempt)
        except FootnoteError as error:  # its lease runs out, and another worker takes it over
            log.warning("run.left", run_id=str(run.id), error=error.message)
        finally:
            await writing.writer.flushed()
            self._log.done(writing.writer)
            if self._active.get(run.id) is writing:
                del self._active[run.id], self._tasks[run.id]
            if writing.end is not None:
                self._closed.append(run.id)
            RUNS_ACTIVE.set(len(self._active))
            if self._limits.written is not None:
                await self._tell(FREE)

    async def _written(self, writing: Writing) -> None:
        await writing.write(self._answering, self._history, self._limits.max_s)
        if writing.end is None:
            await self._give_away(writing)
        else:
            await self._finish(writing, writing.end)

    async def _finish(self, writing: Writing, end: End) -> None:
        logged = writing.answer.end is not None  # by a worker that died before it could be stored
        writing.answer.end = end
        last = writing.writer.last_id + (0 if logged else 1)
        await writing.writer.tried()  # what is stored stands in the log as well, but for its end
        with TRACER.start_as_current_span("save"):
            try:
                saved = await self._save(writing.run, writing.answer.outcome(writing.provenance, last_event=last))
            except NotStorable as error:
                log.error("run.not_storable", run_id=str(writing.id), exc_info=error)
                end = RunFailed(UNEXPECTED)
                saved = await self._save(writing.run, AnswerSoFar(end=end).outcome(last_event=last))
        if not logged:
            writing.writer.put(end if saved else RunFailed(NOT_STORED))
        _count(writing, end)

    async def _give_away(self, writing: Writing) -> None:
        """Leave the run to other workers once its events stand in the log."""
        await writing.writer.flushed()
        await self._store.release(writing.run.workspace_id, [writing.id])
        await self._tell(FREE)
        log.info("run.handed_over", run_id=str(writing.id), attempt=writing.run.attempt)

    async def _history(self, run: Run, question: Question) -> Sequence[ChatMessage]:
        if question.history or not question.continues:
            return question.history
        earlier = await self._conversations.history(
            run.workspace_id, run.conversation_id, limit=HISTORY_MESSAGES + 1, before=run.message_id
        )
        return earlier[:-1]  # the last one is the question itself

    async def _save(self, run: Run, outcome: Outcome) -> bool:
        """Store the outcome, waiting for PostgreSQL; False when it stays away. Raises RunFenced, NotStorable."""
        deadline = monotonic() + (0 if self._closing else SAVE_RETRY_S)
        while True:
            try:
                if not await self._store.finish(run, outcome):
                    raise RunFenced
            except DatabaseUnavailable:
                if monotonic() > deadline:
                    return False
                await asyncio.sleep(0.5)
            else:
                return True

    # --- stopping

    async def cancel(self, principal: Principal, run_id: UUID) -> Stopped:
        """Stop a run: the model's upstream connection is closed and the partial answer stored before this returns.

        A run that ended already stays as it is. Raises RunNotFound, DatabaseUnavailable, StopNotConfirmed.
        """
        run, message = await self._store.get(principal.workspace_id, run_id, only_in=principal.collection)
        if run.state is RunState.RUNNING:
            writing = self._active.get(run_id)
            if writing is not None and not writing.given_away:
                writing.interrupt(RunCancelled())
                await asyncio.wait([self._tasks[run_id]])
            else:
                await self._store.ask_stop(run.workspace_id, run_id)
                await self._tell(str(run_id))
            run, message = await self._stopped(run)
        return Stopped(run.id, run.state, len(message.text), self._count_tokens(message.text))

    async def _stopped(self, run: Run) -> tuple[Run, Message]:
        """The run once it has ended. Raises StopNotConfirmed."""
        deadline, wait_s = monotonic() + self._limits.lease_s + STOP_WAIT_S, 0.01
        while True:
            run, message = await self._store.get(run.workspace_id, run.id)
            if run.state is not RunState.RUNNING:
                return run, message
            if monotonic() > deadline:
                raise StopNotConfirmed
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 1.5, 0.2)

    # --- reading

    async def get(self, principal: Principal, run_id: UUID) -> Run:
        """A run as stored. Raises RunNotFound, DatabaseUnavailable."""
        run, _ = await self._store.get(principal.workspace_id, run_id, only_in=principal.collection)
        return run

    async def read(
        self, principal: Principal, run_id: UUID, after: int = 0
    ) -> AsyncGenerator[LoggedEvent, None] | None:
        """A run's events from id `after` + 1 on, to its end; see `read_batches`."""
        batches = await self.read_batches(principal, run_id, after)
        return None if batches is None else _each(batches)

    def follow(self, run_id: UUID, after: int = 0) -> AsyncGenerator[LoggedEvent, None]:
        """The log of a run that is known to be the caller's."""
        return _each(self.follow_batches(run_id, after))

    async def read_batches(
        self, principal: Principal, run_id: UUID, after: int = 0, take: Take | None = None
    ) -> AsyncGenerator[list[LoggedEvent], None] | None:
        """A run's events from id `after` + 1 on, to its end; None when nothing follows `after`.

        Those that come together are in one list; an empty list says now and then that nothing came. They come from the
        log, or, once that expired, from the stored message; `take` may get some of them as `RunLog.read` gives them.
        Raises RunNotFound, RunLogUnavailable, DatabaseUnavailable.
        """
        run, message = await self._store.get(principal.workspace_id, run_id, only_in=principal.collection)
        if run.last_event is not None and run.last_event <= after < RENDERED:
            return None
        if after > RENDERED and run.state is not RunState.RUNNING:
            return rendered(run, message, after)
        if run_id in self._active:
            return self.follow_batches(run_id, after, take)
        try:
            last = await self._log.last(run_id)
        except RunLogUnavailable:
            if run.state is RunState.RUNNING:
                raise
            last = None
        if last is not None and last.terminal and last.id <= after:
            return None
        if last is not None and not last.terminal and run.state is not RunState.RUNNING:
            mended = await self._mend(run, message)
            return self.follow_batches(run_id, after) if mended else rendered(run, message, after)
        if last is not None or run.state is RunState.RUNNING:
            return self.follow_batches(run_id, after, take)
        return rendered(run, message, after)

    def follow_batches(
        self, run_id: UUID, after: int = 0, take: Take | None = None
    ) -> AsyncGenerator[list[LoggedEvent], None]:
        """The log of a run that is known to be the caller's, as `read_batches` gives it."""
        return self._log.read(run_id, after=after, take=take)

    async def _mend(self, run: Run, message: Message) -> bool:
        """Put the end into the log of a run that was stored, where its worker died in between.

        False when the log lacks more than that. Raises RunLogUnavailable.
        """
        answer, last = AnswerSoFar(), 0
        while batch := await self._log.events(run.id, after=last):
            last = batch[-1].id
            for logged in batch:
                answer.add(logged.event())
        if answer.end is None:
            if (answer.text, len(answer.citations)) != (message.text, len(message.citations)):
                return False
            end = stored_end(run, message)
            await self._log.append(run.id, run.attempt, [LoggedEvent(last + 1, end.type, encode_event(end))])
        return True

    # --- what others lost

    def _told(self, message: str) -> None:
        """Something was told to all workers: a run's id, which is to be stopped, or that there is something to take."""
        writing = None if message == FREE else self._active.get(UUID(message))
        if writing is not None:
            writing.interrupt(RunCancelled())
        else:
            self._look.set()

    async def _tell(self, message: str) -> None:
        try:
            await self._log.tell(message)
        except RunLogUnavailable as error:  # each worker looks by itself from time to time
            log.warning("run.not_told", error=str(error.__cause__))

    async def _keep(self) -> None:
        """Renew this worker's leases, notice what it lost, take over what others lost; until cancelled."""
        waits = False
        while True:
            self._look.clear()
            try:
                await self._renew()
                await self._measure()
                await self._stop_abandoned()
                if self._takes_over and not self._closing:
                    await self.recover()
                    await self._mend_open()
                waits = False
            except FootnoteError as error:
                if not waits:
                    log.warning("run.keeper_waits", error=error.for_operators)
                waits = True
            try:
                async with asyncio.timeout(self._limits.lease_s / 3):
                    await self._look.wait()
            except TimeoutError:
                continue

    async def _renew(self) -> None:
        while self._closed:
            await self._store.close(DEFAULT_WORKSPACE_ID, self._closed[:LEASES_AT_ONCE])
            del self._closed[:LEASES_AT_ONCE]
        for workspace_id in {writing.run.workspace_id for writing in self._active.values()}:
            mine = {id_: w for id_, w in self._active.items() if w.run.workspace_id == workspace_id}
            held = await self._store.renew(workspace_id, list(mine))
            for run_id, writing in mine.items():
                if held.get(run_id):
                    writing.interrupt(RunCancelled())
                elif run_id not in held and writing.end is None:
                    writing.give_away()  # another worker has it, or it ended

    async def _measure(self) -> None:
        RUN_LOG_LAG.set(self._log.lag)
        if self._limits.written is not None:
            RUNS_QUEUED.set(await self._store.queued(DEFAULT_WORKSPACE_ID))

    async def _stop_abandoned(self) -> None:
        if not self._limits.abandon_after_s:
            return
        await self._log.note_readers()
        watched = {id_: w for id_, w in self._active.items() if not w.question.background}
        read, now = await self._log.read_before(watched), monotonic()
        for run_id, writing in watched.items():
            writing.read_at = max(writing.read_at, now - read.get(run_id, inf))
            if now - writing.read_at > self._limits.abandon_after_s:
                _abandon(writing)

    async def recover(self) -> int:
        """Take over the runs that nobody writes and go on with them; returns how many."""
        claimed = await self._store.claim(DEFAULT_WORKSPACE_ID, cap=self._limits.written)
        await asyncio.gather(*(self._take_over(one) for one in claimed))
        return len(claimed)

    async def _mend_open(self) -> None:
        """Finish the logs of runs that were stored by workers that died before they could."""
        for run, message in await self._store.ended_open(DEFAULT_WORKSPACE_ID):
            if not await self._mend(run, message):
                log.warning("run.log_incomplete", run_id=str(run.id))
            self._closed.append(run.id)

    async def _take_over(self, claimed: Claimed) -> None:
        run = claimed.run
        try:
            earlier = await self._log.take(run.id, run.attempt)
        except RunLogUnavailable:
            await self._store.release(run.workspace_id, [run.id])  # without its log nobody can go on with it
            raise
        principal, question = restored(run, claimed.question)
        writing = Writing(run, principal, question, self._log.writer(run.id, run.attempt, earlier), earlier)
        if claimed.begun_at is not None:
            writing.spent_s = _since(claimed.begun_at)
        if not earlier:
            writing.emit(started(run))
        if writing.answer.end is not None:
            writing.end = writing.answer.end
        elif claimed.stop_asked:
            writing.interrupt(RunCancelled())
        elif claimed.crashes >= MAX_CRASHES:
            writing.interrupt(RunFailed(LOST_WORKERS))
        elif not question.text:  # of a version that did not keep it
            writing.interrupt(RunFailed(INTERRUPTED))
        elif claimed.begun_at is None and not question.background and await self._given_up(run):
            _abandon(writing)
        if claimed.begun_at is not None:
            TAKE_OVERS.inc()
            log.info("run.taken_over", run_id=str(run.id), attempt=run.attempt, crashes=claimed.crashes)
        self._begin(writing)

    async def _given_up(self, run: Run) -> bool:
        """Whether nobody reads a run any more that waited for its place."""
        patience_s = self._limits.abandon_after_s
        if not patience_s or _since(run.created_at) <= patience_s:
            return False
        return (await self._log.read_before([run.id])).get(run.id, inf) > patience_s


async def _each(source: AsyncGenerator[list[LoggedEvent], None]) -> AsyncGenerator[LoggedEvent, None]:
    async with aclosing(source) as batches:
        async for batch in batches:
            for event in batch:
                yield event


def _since(moment: datetime) -> float:
    return (datetime.now(UTC) - moment).total_seconds()


def _abandon(writing: Writing) -> None:
    log.info("run.abandoned", run_id=str(writing.id))
    ABANDONED.inc()
    writing.interrupt(RunCancelled())


def _count(writing: Writing, end: RunEvent) -> None:
    timings = writing.provenance.timings_ms
    RUNS.labels(end.type).inc()
    if "first_token" in timings:
        TIME_TO_FIRST_TOKEN.observe(timings["first_token"] / 1000)
    log.info("run.ended", run_id=str(writing.id), end=end.type, **timings)
