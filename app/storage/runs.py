"""Runs: the rows that say which answers are being written, by whom, and how they ended.

A running run is held by the worker that writes it, for as long as its lease is renewed; or by nobody, when it was
handed over or waits for a place. `claim` gives a worker what nobody holds and what a dead worker held.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy import case, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.conversation import Message
from app.domain.errors import NotStorable, RunNotFound
from app.domain.passage import Passage
from app.domain.run import Citation, Problem, Run, RunState, Usage
from app.storage import models as m
from app.storage.conversations import message_of
from app.storage.engine import Database
from app.storage.run_creation import NewRun, create_run, require_few

_ONE_COUNTS = text("SELECT pg_advisory_xact_lock(hashtext('footnote.runs_written'))")
_FINISH = """
WITH ended AS (
    UPDATE run SET state = %(state)s, finished_at = now(), question = NULL, last_event = %(last_event)s
    WHERE id = %(run)s AND attempt = %(attempt)s AND state = 'running' RETURNING id
)
UPDATE message SET text = %(text)s, finish_reason = %(finish_reason)s, problem = %(problem)s,
    citations = %(citations)s, passages = %(passages)s, reranked = %(reranked)s, usage = %(usage)s,
    prompt = %(prompt)s, generation_id = %(generation_id)s, timings_ms = %(timings_ms)s
WHERE id = %(message)s AND EXISTS (SELECT FROM ended)
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended, as stored on its message. The text is what the client has: deltas joined, rewinds applied.

    `last_event` is the id of the end in the log.
    """

    state: RunState
    text: str
    finish_reason: str | None = None
    problem: Problem | None = None
    citations: tuple[Citation, ...] = ()
    passages: tuple[Passage, ...] = ()
    reranked: bool | None = None
    usage: Usage | None = None
    prompt: str | None = None
    generation_id: int | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)
    last_event: int | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A run that this worker holds now. `begun_at`: since when others have written it, the time without a worker left
    out; None when nobody has."""

    run: Run
    question: dict[str, Any] | None
    crashes: int
    stop_asked: bool
    begun_at: datetime | None


class RunStore:
    """Creates runs, leases them out, stores their outcome. `worker` names this process in leases."""

    def __init__(self, database: Database, *, worker: str, lease_s: float) -> None:
        self._database = database
        self._worker = worker
        self._lease = timedelta(seconds=lease_s)

    async def create(
        self, workspace_id: UUID, new: NewRun, *, cap: int | None = None, at_once: int | None = None
    ) -> tuple[Run, int | None]:
        """Store a question with its empty answer and take the lease, unless `cap` runs are held; see `create_run`."""
        return await create_run(
            self._database, workspace_id, new, owner=self._worker, lease=self._lease, cap=cap, at_once=at_once
        )

    async def require_few(self, workspace_id: UUID, asked_by: str, at_once: int) -> None:
        """Raise TooManyRuns for what `create` would refuse now."""
        async with self._database.reading(workspace_id) as connection:
            await require_few(connection, asked_by, at_once)

    async def get(self, workspace_id: UUID, run_id: UUID, *, only_in: str | None = None) -> tuple[Run, Message]:
        """A run and the message that it fills; with `only_in` one of that collection's conversations alone.

        Raises RunNotFound.
        """
        query = (
            select(m.Run, m.Message)
            .join(m.Message, m.Message.id == m.Run.message_id)
            .where(m.Run.id == run_id, m.Run.workspace_id == workspace_id)
        )
        if only_in is not None:
            talk = m.Conversation
            query = query.join(talk, talk.id == m.Run.conversation_id).where(talk.collection == only_in)
        async with self._database.transaction(workspace_id) as session:
            row = (await session.execute(query)).one_or_none()
            if row is None:
                raise RunNotFound
            return _run_of(row.Run), message_of(row.Message, row.Run.id, row.Run.state)

    async def finish(self, run: Run, outcome: Outcome) -> bool:
        """Store how the run ended; False (and nothing changes) when another attempt owns it or it ended already.

        The lease stays until `close`, when the run's log has its end too. Raises NotStorable.
        """
        values = {
            "run": run.id,
            "attempt": run.attempt,
            "message": run.message_id,
            "state": outcome.state,
            "text": outcome.text,
            "finish_reason": outcome.finish_reason,
            "problem": _json(outcome.problem),
            "citations": _json(outcome.citations),
            "passages": _json(outcome.passages),
            "reranked": outcome.reranked,
            "usage": _json(outcome.usage),
            "prompt": outcome.prompt,
            "generation_id": outcome.generation_id,
            "timings_ms": _json(outcome.timings_ms),
            "last_event": outcome.last_event,
        }
        async with self._database.reading(run.workspace_id) as connection:
            try:
                return (await connection.execute(_FINISH, values)).rowcount == 1
            except (psycopg.DataError, UnicodeEncodeError) as error:
                raise NotStorable from error

    async def renew(self, workspace_id: UUID, run_ids: Sequence[UUID]) -> dict[UUID, bool]:
        """Extend this worker's leases; for each run that it still holds, whether someone asked to stop it."""
        query = (
            update(m.Run)
            .where(m.Run.id.in_(run_ids), m.Run.lease_owner == self._worker, m.Run.state == RunState.RUNNING)
            .values(lease_expires_at=func.now() + self._lease)
            .returning(m.Run.id, m.Run.stop_asked)
        )
        async with self._database.transaction(workspace_id) as session:
            return {row.id: row.stop_asked for row in await session.execute(query)}

    async def claim(self, workspace_id: UUID, *, limit: int = 20, cap: int | None = None) -> list[Claimed]:
        """Take runs that nobody holds or whose holder is gone, oldest first; attempt + 1 fences out who wrote before.

        With `cap`, runs that never began stay where they are while so many are held.
        """
        free = or_(m.Run.lease_expires_at.is_(None), m.Run.lease_expires_at < func.now())
        waiting = (
            select(m.Run.id, m.Run.begun_at, m.Run.stop_asked)
            .where(m.Run.state == RunState.RUNNING, free)
            .order_by(m.Run.id)
            .with_for_update(skip_locked=True)
        )
        async with self._database.transaction(workspace_id) as session:
            places = None if cap is None else cap - await _held_now(session)
            rows = (await session.execute(waiting.limit(limit if places is None else limit + max(places, 0)))).all()
            interrupted = [row for row in rows if row.begun_at is not None or row.stop_asked]
            fresh = [row for row in rows if row.begun_at is None and not row.stop_asked]
            if places is not None:
                fresh = fresh[: max(0, places - len(interrupted))]
            taken = {row.id: row for row in (interrupted + fresh)[:limit]}
            if not taken:
                return []
            held_for = func.least(func.now(), func.coalesce(m.Run.lease_expires_at, func.now())) - m.Run.begun_at
            query = (
                update(m.Run)
                .where(m.Run.id.in_(taken))
                .values(
                    attempt=m.Run.attempt + 1,
                    crashes=m.Run.crashes + case((m.Run.lease_owner.is_not(None), 1), else_=0),
                    begun_at=func.coalesce(func.now() - held_for, func.now()),
                    **self._held(),
                )
                .returning(m.Run)
            )
            runs = (await session.scalars(query)).all()
            return [
                Claimed(_run_of(r), r.question, r.crashes, r.stop_asked, r.begun_at if taken[r.id].begun_at else None)
                for r in runs
            ]

    async def release(self, workspace_id: UUID, run_ids: Sequence[UUID]) -> None:
        """Give up the leases, so that other workers go on at once; their count of crashes stays."""
        query = (
            update(m.Run)
            .where(m.Run.id.in_(run_ids), m.Run.lease_owner == self._worker, m.Run.state == RunState.RUNNING)
            .values(lease_owner=None, lease_expires_at=None)
        )
        async with self._database.transaction(workspace_id) as session:
            await session.execute(query)

    async def close(self, workspace_id: UUID, run_ids: Sequence[UUID]) -> None:
        """Give up the leases of runs that ended, and whose log has its end."""
        query = (
            update(m.Run)
            .where(m.Run.id.in_(run_ids), m.Run.state != RunState.RUNNING)
            .values(lease_owner=None, lease_expires_at=None)
        )
        async with self._database.transaction(workspace_id) as session:
            await session.execute(query)

    async def ended_open(self, workspace_id: UUID, *, limit: int = 50) -> list[tuple[Run, Message]]:
        """Runs that ended while the worker that stored them died before it could `close` them."""
        query = (
            select(m.Run, m.Message)
            .join(m.Message, m.Message.id == m.Run.message_id)
            .where(m.Run.state != RunState.RUNNING, m.Run.lease_expires_at < func.now())
            .limit(limit)
        )
        async with self._database.transaction(workspace_id) as session:
            rows = (await session.execute(query)).all()
            return [(_run_of(run), message_of(message, run.id, run.state)) for run, message in rows]

    async def ask_stop(self, workspace_id: UUID, run_id: UUID) -> None:
        """Let whoever holds the run, or will hold it, stop it."""
        query = (
            update(m.Run)
            .where(m.Run.id == run_id, m.Run.workspace_id == workspace_id, m.Run.state == RunState.RUNNING)
            .values(stop_asked=True)
        )
        async with self._database.transaction(workspace_id) as session:
            await session.execute(query)

    async def queued(self, workspace_id: UUID) -> int:
        """How many runs have not begun."""
        query = select(func.count()).where(m.Run.state == RunState.RUNNING, m.Run.begun_at.is_(None))
        async with self._database.transaction(workspace_id) as session:
            return (await session.execute(query)).scalar_one()

    def _held(self) -> dict[str, Any]:
        return {"lease_owner": self._worker, "lease_expires_at": func.now() + self._lease}


async def _held_now(session: AsyncSession) -> int:
    await session.execute(_ONE_COUNTS)
    query = select(func.count()).where(m.Run.state == RunState.RUNNING, m.Run.lease_expires_at >= func.now())
    return (await session.execute(query)).scalar_one()


def _run_of(row: m.Run) -> Run:
    return Run(
        id=row.id,
        workspace_id=row.workspace_id,
        conversation_id=row.conversation_id,
        message_id=row.message_id,
        state=RunState(row.state),
        attempt=row.attempt,
        created_at=row.created_at,
        request=row.request,
        last_event=row.last_event,
    )


def _json(value: object) -> Jsonb | None:
    return None if value is None else Jsonb(value, dumps=msgspec.json.encode)
