"""Runs: each answer as a task of this worker, detached from whoever asked, its events in the log."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from time import monotonic
from uuid import UUID

import structlog

from app.domain.conversation import ChatMessage, Message
from app.domain.errors import (
    DatabaseUnavailable,
    FootnoteError,
    RunFenced,
    RunLogUnavailable,
    ShuttingDown,
    TooManyRuns,
)
from app.domain.principal import DEFAULT_WORKSPACE_ID, Principal
from app.domain.run import (
    LoggedEvent,
    Problem,
    RetrievalCompleted,
    Run,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunStarted,
    RunState,
    TextDelta,
    TextRewind,
    encode_event,
)
from app.services.answering import HISTORY_MESSAGES, Answering, Provenance, Question
from app.services.outcome import INTERRUPTED, AnswerSoFar
from app.services.retrieval import Retrieval
from app.storage.conversations import ConversationStore
from app.storage.rate_limit import RateLimit
from app.storage.run_log import RunLog, RunLogWriter
from app.storage.runs import Outcome, RunStore
from app.telemetry import INTER_TOKEN, REWINDS, RUNS, RUNS_ACTIVE, TIME_TO_FIRST_TOKEN

log = structlog.get_logger()

SAVE_RETRY_S = 60  # PostgreSQL may be away this long at an answer's end before its client is told
RETRY_AFTER_S = 5  # about what a short answer takes
TIMED_OUT = Problem(
    "run_timed_out", "The answer took too long", "What was written is kept; ask for something narrower."
)
UNEXPECTED = Problem("internal_error", "Something went wrong", "What was written is kept; the server's log has more.")
NOT_STORED = Problem(
    "database_unavailable",
    "The answer is not stored yet",
    "PostgreSQL is not reachable. The answer will be stored from its log once it is back.",
)


@dataclass(slots=True, eq=False)
class _Active:
    """A run that this worker writes. `stop` is the end it was asked to come to, `last_delta` when text came last."""

    run: Run
    principal: Principal
    question: Question
    answer: AnswerSoFar
    provenance: Provenance
    writer: RunLogWriter
    generation: asyncio.Task[None] | None = None
    supervisor: asyncio.Task[None] | None = None
    stop: RunCancelled | RunFailed | None = None
    last_delta: float | None = None

    def emit(self, event: RunEvent) -> None:
        """Take the event into the answer and the log."""
        self.answer.add(event)
        self.writer.put(event)
        if isinstance(event, TextDelta):
            now = monotonic()
            if self.last_delta is not None:
                INTER_TOKEN.observe(now - self.last_delta)
            self.last_delta = now
        elif isinstance(event, TextRewind):
            REWINDS.inc()

    def interrupt(self, end: RunCancelled | RunFailed) -> None:
        """End the generation, and with it the model's upstream connection."""
        if self.stop is None and self.answer.end is None:
            self.stop = end
            if self.generation is not None:
                self.generation.cancel()


@dataclass(frozen=True, slots=True)
class Stopped:
    """How a run stands after it was asked to stop, and how much of its text was kept (code points)."""

    run_id: UUID
    state: RunState
    text_chars: int


class Runs:
    """Starts, reads, stops and recovers runs. A client that goes away changes nothing; only `cancel` stops a run."""

    def __init__(
        self,
        store: RunStore,
        conversations: ConversationStore,
        run_log: RunLog,
        answering: Answering,
        retrieval: Retrieval,
        *,
        run_max_s: float,
        lease_s: float,
        rate_limit: RateLimit | None = None,
        at_once: int | None = None,
    ) -> None:
        """`rate_limit` and `at_once` hold for each principal; the latter counts what this worker writes."""
        self._store = store
        self._conversations = conversations
        self._log = run_log
        self._answering = answering
        self._retrieval = retrieval
        self._run_max_s = run_max_s
        self._lease_s = lease_s
        self._rate_limit = rate_limit
        self._at_once = at_once
        self._active: dict[UUID, _Active] = {}
        self._closing = False
        self._keeper: asyncio.Task[None] | None = None

    @property
    def active(self) -> int:
        """How many answers this worker is writing."""
        return len(self._active)

    def open(self) -> None:
        """Begin to renew leases and to recover runs whose worker died."""
        self._keeper = asyncio.create_task(self._keep(), name="run-keeper")

    async def close(self, grace_s: float) -> None:
        """Take no more runs, give those under way `grace_s` to end, then interrupt them; each keeps its text."""
        self._closing = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        for wait_s in (grace_s, max(grace_s, 1.0)):
            supervisors = [active.supervisor for active in self._active.values() if active.supervisor]
            if supervisors:
                await asyncio.wait(supervisors, timeout=wait_s)
            for active in list(self._active.values()):
                active.interrupt(RunFailed(INTERRUPTED))

    async def start(self, principal: Principal, question: Question) -> Run:
        """Store the question and begin to answer it; the answer goes on whoever reads it.

        Raises ConversationNotFound, ConversationBusy, CollectionNotFound, InvalidFilter, DatabaseUnavailable,
        ShuttingDown, TooManyRequests.
        """
        if self._closing:
            raise ShuttingDown
        await self._admit(principal)
        if question.collection is not None:
            await self._retrieval.require_collection(principal, question.collection)
        await self._retrieval.require_filter(principal, question.filter)
        run = await self._store.create(
            principal.workspace_id, question.text, question.conversation_id, question.collection, question.thread
        )
        writer = self._log.writer(run.id, run.attempt)
        active = _Active(run, principal, question, AnswerSoFar(), Provenance(), writer)
        active.emit(RunStarted(str(run.id), str(run.conversation_id), str(run.message_id), run.created_at))
        active.generation = asyncio.create_task(self._generate(active), name=f"generation-{run.id}")
        active.supervisor = asyncio.create_task(self._supervise(active), name=f"run-{run.id}")
        self._active[run.id] = active
        RUNS_ACTIVE.set(len(self._active))
        return run

    async def _admit(self, principal: Principal) -> None:
        """Raise TooManyRequests when the principal has asked for too much."""
        if self._at_once is not None:
            under_way = sum(active.principal == principal for active in self._active.values())
            if under_way >= self._at_once:
                raise TooManyRuns(
                    f"{under_way} answers are being written for this key, and no more are allowed at once; "
                    "wait for one or stop it.",
                    RETRY_AFTER_S,
                )
        if self._rate_limit is not None:
            await self._rate_limit.admit(principal)

    async def _generate(self, active: _Active) -> None:
        """Emit the answer's events; the end is left in `active.answer.end`, not yet in the log."""
        run, history = active.run, active.question.history
        async with asyncio.timeout(self._run_max_s):
            if not history and active.question.continues:
                earlier = await self._conversations.history(
                    run.workspace_id, run.conversation_id, limit=HISTORY_MESSAGES + 1, before=run.message_id
                )
                # the last one is the question itself
                history = tuple(ChatMessage(message.role, message.text) for message in earlier[:-1])
            answer = self._answering.answer(active.principal, active.question, history, active.provenance)
            async with aclosing(answer) as events:
                async for event in events:
                    if isinstance(event, RunCompleted):
                        active.answer.end = event
                    else:
                        active.emit(event)

    async def _supervise(self, active: _Active) -> None:
        """See the generation to its end, whatever that is, and bring it into the store and then into the log."""
        run = active.run
        try:
            assert active.generation is not None  # noqa: S101 - set before this task was made
            await asyncio.wait([active.generation])
            end = _end_of(active)
            active.answer.end = end
            if not await self._save(run, active.answer.outcome(active.provenance)):
                end = RunFailed(NOT_STORED)
            active.writer.put(end)
            _count(active, end)
        except RunFenced:
            log.warning("run.fenced", run_id=str(run.id), attempt=run.attempt)
        finally:
            await active.writer.close()
            self._active.pop(run.id, None)
            RUNS_ACTIVE.set(len(self._active))

    async def _save(self, run: Run, outcome: Outcome) -> bool:
        """Store the outcome, waiting for PostgreSQL; False when it stays away. Raises RunFenced."""
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

    async def cancel(self, principal: Principal, run_id: UUID) -> Stopped:
        """Stop a run: the model's upstream connection is closed and the partial answer stored before this returns.

        A run that ended already stays as it is. Raises RunNotFound, DatabaseUnavailable.
        """
        active = self._active.get(run_id)
        if active is not None and active.run.workspace_id == principal.workspace_id:
            active.interrupt(RunCancelled())
            if active.supervisor is not None:
                await asyncio.wait([active.supervisor])
        run, message = await self._store.get(principal.workspace_id, run_id)
        return Stopped(run.id, run.state, len(message.text))

    async def get(self, principal: Principal, run_id: UUID) -> Run:
        """A run as stored. Raises RunNotFound, DatabaseUnavailable."""
        run, _ = await self._store.get(principal.workspace_id, run_id)
        return run

    async def read(
        self, principal: Principal, run_id: UUID, after: int = 0
    ) -> AsyncGenerator[LoggedEvent, None] | None:
        """A run's events from id `after` + 1 on, to its end; None when nothing follows `after`.

        They come from the log, or, once that expired, from the stored message. Raises RunNotFound, RunLogUnavailable,
        DatabaseUnavailable.
        """
        run, message = await self._store.get(principal.workspace_id, run_id)
        if run_id in self._active:
            return self.follow(run_id, after)
        try:
            last = await self._log.last(run_id)
        except RunLogUnavailable:
            if run.state is RunState.RUNNING:
                raise
            last = None
        if last is not None and last.terminal and last.id <= after:
            return None
        if last is not None or run.state is RunState.RUNNING:
            return self.follow(run_id, after)
        return _rendered(run, message, after)

    def follow(self, run_id: UUID, after: int = 0) -> AsyncGenerator[LoggedEvent, None]:
        """The log of a run that is known to be the caller's."""
        return self._log.read(run_id, after=after)

    async def _keep(self) -> None:
        """Renew this worker's leases and recover orphaned runs, until cancelled."""
        while True:
            try:
                if self._active:
                    workspaces = {active.run.workspace_id for active in self._active.values()}
                    for workspace_id in workspaces:
                        await self._store.renew(workspace_id, list(self._active))
                await self.recover()
            except FootnoteError as error:
                log.warning("run.keeper_waits", error=error.message)
            await asyncio.sleep(self._lease_s / 3)

    async def recover(self) -> int:
        """Bring runs whose worker died to their end, with the text that their log has; returns how many."""
        runs = await self._store.take_expired(DEFAULT_WORKSPACE_ID)
        for run in runs:
            answer, after = AnswerSoFar(), 0
            while batch := await self._log.events(run.id, after=after):
                after = batch[-1].id
                for logged in batch:
                    answer.add(logged.event())
            await self._save(run, answer.outcome())
            if answer.end is None:
                writer = self._log.writer(run.id, run.attempt, after=after)
                writer.put(RunFailed(INTERRUPTED))
                await writer.close()
            log.info("run.recovered", run_id=str(run.id), attempt=run.attempt, text_chars=len(answer.text))
        return len(runs)


def _count(active: _Active, end: RunEvent) -> None:
    timings = active.provenance.timings_ms
    RUNS.labels(end.type).inc()
    if "first_token" in timings:
        TIME_TO_FIRST_TOKEN.observe(timings["first_token"] / 1000)
    log.info("run.ended", run_id=str(active.run.id), end=end.type, **timings)


def _end_of(active: _Active) -> RunCompleted | RunCancelled | RunFailed:
    """How the generation ended, as the run's last event."""
    assert active.generation is not None  # noqa: S101 - only called once it is done
    if active.answer.end is not None:
        return active.answer.end
    if active.generation.cancelled():
        return active.stop or RunFailed(INTERRUPTED)
    match active.generation.exception():
        case TimeoutError():
            return RunFailed(TIMED_OUT)
        case RunFenced() as fenced:
            raise fenced
        case FootnoteError() as error:
            return RunFailed(Problem(error.code, (type(error).__doc__ or error.code).strip(), error.message))
        case unexpected:
            log.error("run.crashed", run_id=str(active.run.id), exc_info=unexpected)
            return RunFailed(UNEXPECTED)


async def _rendered(run: Run, message: Message, after: int) -> AsyncGenerator[LoggedEvent, None]:
    """A finished run's events made anew from its stored message; a resuming client is told to start over."""
    events: list[RunEvent] = [
        RunStarted(str(run.id), str(run.conversation_id), str(run.message_id), run.created_at),
        RetrievalCompleted(message.passages),
    ]
    if after:
        events.append(TextRewind(0))
    if message.text:
        events.append(TextDelta(message.text))
    events += message.citations
    if message.usage is not None:
        events.append(message.usage)
    events.append(_stored_end(run, message))
    for event_id, event in enumerate(events, start=after + 1):
        yield LoggedEvent(event_id, event.type, encode_event(event))


def _stored_end(run: Run, message: Message) -> RunEvent:
    if run.state is RunState.COMPLETED:
        return RunCompleted(message.finish_reason or "stop")  # type: ignore[arg-type]
    return RunCancelled() if run.state is RunState.CANCELLED else RunFailed(message.problem or INTERRUPTED)
