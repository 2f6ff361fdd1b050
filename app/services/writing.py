"""Writing: one run as this worker writes it, from its first event here to its end, whoever reads it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from time import monotonic
from typing import TypeAlias
from uuid import UUID

import structlog

from app.domain.conversation import ChatMessage
from app.domain.errors import DatabaseUnavailable, FootnoteError, ProviderTimedOut, ProviderUnavailable, RunFenced
from app.domain.principal import Principal
from app.domain.run import (
    LoggedEvent,
    Problem,
    Run,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    TextDelta,
    TextRewind,
)
from app.services.answering import Answering, Provenance, Question
from app.services.continuation import Continuation
from app.services.outcome import INTERRUPTED, AnswerSoFar
from app.storage.run_log_writer import RunLogWriter
from app.telemetry import INTER_TOKEN, REWINDS

log = structlog.get_logger()

RETRIES_AFTER_S = (0.5, 1.0)  # a model that breaks off in the middle of its answer is asked again so often
DATABASE_RETRY_S = 30  # a question that was taken waits this long for PostgreSQL to come back
DATABASE_RETRY_EVERY_S = 0.5
TIMED_OUT = Problem(
    "run_timed_out", "The answer took too long", "What was written is kept; ask for something narrower."
)
UNEXPECTED = Problem("internal_error", "Something went wrong", "What was written is kept; the server's log has more.")

End: TypeAlias = RunCompleted | RunCancelled | RunFailed
History: TypeAlias = Callable[[Run, Question], Awaitable[Sequence[ChatMessage]]]
"""What was said before the run's question."""


class Writing:
    """Writes the answer into `answer` and the log. `end` is how it ended; None when it was given away unfinished."""

    def __init__(
        self, run: Run, principal: Principal, question: Question, writer: RunLogWriter, earlier: Sequence[LoggedEvent]
    ) -> None:
        """`earlier`: the events of the worker that wrote before."""
        self.run = run
        self.principal = principal
        self.question = question
        self.writer = writer
        self.answer = AnswerSoFar()
        for logged in earlier:
            self.answer.add(logged.event())
        self.provenance = Provenance()
        self.end: End | None = None
        self.read_at = monotonic()
        self.spent_s = 0.0  # by those that wrote before
        self.given_away = False
        self._asked: RunCancelled | RunFailed | None = None
        self._generation: asyncio.Task[End] | None = None
        self._last_delta: float | None = None

    @property
    def id(self) -> UUID:
        """The run's."""
        return self.run.id

    def emit(self, event: RunEvent) -> None:
        """Take the event into the answer and the log. Raises RunFenced."""
        self.writer.put(event)
        self.answer.add(event)
        if isinstance(event, TextDelta):
            now = monotonic()
            if self._last_delta is not None:
                INTER_TOKEN.observe(now - self._last_delta)
            self._last_delta = now
        elif isinstance(event, TextRewind):
            REWINDS.inc()

    def interrupt(self, end: RunCancelled | RunFailed) -> None:
        """End the generation, and with it the model's upstream connection, in this way."""
        if self._asked is None and self.end is None:
            self._asked = end
            if self._generation is not None:
                self._generation.cancel()

    def give_away(self) -> None:
        """End the generation without an end: another worker goes on."""
        if self.end is None and self._asked is None:
            self.given_away = True
            if self._generation is not None:
                self._generation.cancel()

    async def write(self, answering: Answering, history: History, max_s: float) -> None:
        """Write to the end, whatever that is; it is left in `end`, not yet in the log. Raises RunFenced.

        `max_s`: how long all writings of the run together may take.
        """
        if self._asked is not None and self.end is None:
            self.end = self._asked
        if self.end is not None or self.given_away:
            return
        generating = self._generate(answering, history, max_s - self.spent_s)
        self._generation = asyncio.create_task(generating, name=f"generation-{self.id}")
        await asyncio.wait([self._generation])
        if not (self._generation.cancelled() and self.given_away):
            self.end = self._end_of(self._generation)

    def _end_of(self, generation: asyncio.Task[End]) -> End:
        if generation.cancelled():
            return self._asked or RunFailed(INTERRUPTED)
        match generation.exception():
            case None:
                return generation.result()
            case TimeoutError():
                return RunFailed(TIMED_OUT)
            case RunFenced() as fenced:
                raise fenced
            case FootnoteError() as error:
                return RunFailed(Problem(error.code, (type(error).__doc__ or error.code).strip(), error.message))
            case unexpected:
                log.error("run.crashed", run_id=str(self.id), exc_info=unexpected)
                return RunFailed(UNEXPECTED)

    async def _generate(self, answering: Answering, history: History, within_s: float) -> End:
        async with asyncio.timeout(within_s):
            waits, deadline = iter(RETRIES_AFTER_S), monotonic() + DATABASE_RETRY_S
            while True:
                try:
                    return await self._answer(answering, await history(self.run, self.question))
                except (ProviderUnavailable, ProviderTimedOut) as error:
                    # before its first word, the model's client and the models that take over have tried again already
                    wait_s = next(waits, None)
                    if wait_s is None or not self.answer.text:
                        raise
                    log.warning("run.written_again", run_id=str(self.id), error=error.message)
                except DatabaseUnavailable:
                    wait_s = DATABASE_RETRY_EVERY_S
                    if monotonic() > deadline:
                        raise
                await asyncio.sleep(wait_s)

    async def _answer(self, answering: Answering, history: Sequence[ChatMessage]) -> End:
        """One writing of the answer, as the continuation of what is there."""
        continuation, begun = Continuation(replace(self.answer)), False
        async with aclosing(answering.answer(self.principal, self.question, history, self.provenance)) as events:
            async for event in events:
                if self._generation is not None and self._generation.cancelling():
                    # asked to end, and a library swallowed it: asyncio.wait_for does before Python 3.12
                    raise asyncio.CancelledError
                if isinstance(event, RunCompleted):
                    for last in continuation.finish():
                        self.emit(last)
                    return event
                for needed in continuation.feed(event):
                    self.emit(needed)
                if isinstance(event, TextDelta) and not begun:
                    begun = True
                    await self.writer.tried()  # the first words reach their readers before their sentence is judged
        raise AssertionError  # every answer ends with RunCompleted
