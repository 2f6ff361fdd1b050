"""Runs: the rows that say which answers are being written, by whom, and how they ended."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import msgspec
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from app.domain.conversation import Message
from app.domain.errors import ConversationBusy, ConversationNotFound, RunNotFound
from app.domain.passage import Passage
from app.domain.run import Citation, Problem, Run, RunState, Usage
from app.storage import models as m
from app.storage.conversations import find_thread, message_of
from app.storage.engine import Database

TITLE_CHARS = 80


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended, as stored on its message. The text is what the client has: deltas joined, rewinds applied."""

    state: RunState
    text: str
    finish_reason: str | None = None
    problem: Problem | None = None
    citations: tuple[Citation, ...] = ()
    passages: tuple[Passage, ...] = ()
    usage: Usage | None = None
    prompt: str | None = None
    generation_id: int | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)


class RunStore:
    """Creates runs, renews their leases, stores their outcome. `worker` names this process in leases."""

    def __init__(self, database: Database, *, worker: str, lease_s: float) -> None:
        self._database = database
        self._worker = worker
        self._lease = timedelta(seconds=lease_s)

    async def create(
        self,
        workspace_id: UUID,
        question: str,
        conversation_id: UUID | None,
        collection: str | None,
        thread: str | None = None,
    ) -> Run:
        """Store the question and an empty answer, and take the lease; one short transaction.

        Without `conversation_id` it goes into the conversation of that `thread`, which begins if there is none.
        Raises ConversationNotFound, ConversationBusy.
        """
        try:
            async with self._database.transaction(workspace_id) as session:
                if conversation_id is None and thread is not None:
                    conversation_id = await find_thread(session, thread)
                if conversation_id is None:
                    title = " ".join(question.split())[:TITLE_CHARS]
                    conversation = m.Conversation(
                        id=m.new_id(), workspace_id=workspace_id, title=title, collection=collection, thread=thread
                    )
                    session.add(conversation)
                else:
                    found = await session.get(m.Conversation, conversation_id)
                    if found is None:
                        raise ConversationNotFound
                    conversation = found
                    conversation.updated_at = func.now()
                owner = {"workspace_id": workspace_id, "conversation_id": conversation.id}
                await session.flush()
                session.add(m.Message(id=m.new_id(), role="user", text=question, **owner))
                answer = m.Message(id=m.new_id(), role="assistant", **owner)
                session.add(answer)
                await session.flush()
                run = m.Run(
                    id=m.new_id(),
                    message_id=answer.id,
                    state=RunState.RUNNING,
                    attempt=1,
                    lease_owner=self._worker,
                    lease_expires_at=func.now() + self._lease,
                    **owner,
                )
                session.add(run)
                await session.flush()
                await session.refresh(run, ["created_at"])
                return _run_of(run)
        except IntegrityError as error:
            if any(name in str(error.orig) for name in ("uq_run_running", "uq_conversation_workspace_id_thread")):
                raise ConversationBusy from error
            raise

    async def get(self, workspace_id: UUID, run_id: UUID) -> tuple[Run, Message]:
        """A run and the message that it fills. Raises RunNotFound."""
        query = (
            select(m.Run, m.Message)
            .join(m.Message, m.Message.id == m.Run.message_id)
            .where(m.Run.id == run_id, m.Run.workspace_id == workspace_id)
        )
        async with self._database.transaction(workspace_id) as session:
            row = (await session.execute(query)).one_or_none()
            if row is None:
                raise RunNotFound
            return _run_of(row.Run), message_of(row.Message, row.Run.id, row.Run.state)

    async def finish(self, run: Run, outcome: Outcome) -> bool:
        """Store how the run ended; False (and nothing changes) when another attempt owns it or it ended already."""
        ended = (
            update(m.Run)
            .where(m.Run.id == run.id, m.Run.attempt == run.attempt, m.Run.state == RunState.RUNNING)
            .values(state=outcome.state, finished_at=func.now())
            .returning(m.Run.id)
        )
        async with self._database.transaction(run.workspace_id) as session:
            if (await session.execute(ended)).one_or_none() is None:
                return False
            await session.execute(
                update(m.Message)
                .where(m.Message.id == run.message_id)
                .values(
                    text=outcome.text,
                    finish_reason=outcome.finish_reason,
                    problem=msgspec.to_builtins(outcome.problem),
                    citations=msgspec.to_builtins(outcome.citations),
                    passages=msgspec.to_builtins(outcome.passages),
                    usage=msgspec.to_builtins(outcome.usage),
                    prompt=outcome.prompt,
                    generation_id=outcome.generation_id,
                    timings_ms=outcome.timings_ms,
                )
            )
            return True

    async def renew(self, workspace_id: UUID, run_ids: Sequence[UUID]) -> None:
        """Extend this worker's leases on its running runs; one statement."""
        query = (
            update(m.Run)
            .where(m.Run.id.in_(run_ids), m.Run.lease_owner == self._worker, m.Run.state == RunState.RUNNING)
            .values(lease_expires_at=func.now() + self._lease)
        )
        async with self._database.transaction(workspace_id) as session:
            await session.execute(query)

    async def take_expired(self, workspace_id: UUID, *, limit: int = 100) -> list[Run]:
        """Take over runs whose worker is gone: attempt + 1, so that a worker that comes back is fenced out."""
        expired = (
            select(m.Run.id)
            .where(m.Run.state == RunState.RUNNING, m.Run.lease_expires_at < func.now())
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        query = (
            update(m.Run)
            .where(m.Run.id.in_(expired))
            .values(attempt=m.Run.attempt + 1, lease_owner=self._worker, lease_expires_at=func.now() + self._lease)
            .returning(m.Run)
        )
        async with self._database.transaction(workspace_id) as session:
            return [_run_of(run) for run in (await session.scalars(query)).all()]


def _run_of(row: m.Run) -> Run:
    return Run(
        id=row.id,
        workspace_id=row.workspace_id,
        conversation_id=row.conversation_id,
        message_id=row.message_id,
        state=RunState(row.state),
        attempt=row.attempt,
        created_at=row.created_at,
    )
