"""Conversations: questions, answers, and how they are read back."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.conversation import ChatMessage, Conversation, ConversationSummary, Message
from app.domain.errors import ConversationNotFound
from app.domain.passage import Passage
from app.domain.run import Citation, Problem, RunState, Usage
from app.storage import models as m
from app.storage.engine import Database

MESSAGES_SHOWN = 500


class ConversationStore:
    """Reads and deletes conversations; runs write them (`app.storage.runs`)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, workspace_id: UUID, *, limit: int, before: UUID | None = None) -> list[ConversationSummary]:
        """The newest conversations first; `before` continues after the last one of a page."""
        c = m.Conversation
        query = select(c.id, c.title, c.collection, c.created_at, c.updated_at).order_by(c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(c.id < before)
        async with self._database.transaction(workspace_id) as session:
            return [ConversationSummary(*row) for row in await session.execute(query)]

    async def get(self, workspace_id: UUID, conversation_id: UUID, *, reader: str | None = None) -> Conversation:
        """A conversation with its messages, oldest first, and what `reader` said of them.

        Raises ConversationNotFound.
        """
        async with self._database.transaction(workspace_id) as session:
            found = await session.get(m.Conversation, conversation_id)
            if found is None:
                raise ConversationNotFound
            messages = await _messages(session, conversation_id, MESSAGES_SHOWN, reader)
            return Conversation(
                found.id, found.title, found.collection, found.created_at, found.updated_at, tuple(messages)
            )

    async def texts(self, workspace_id: UUID, message_ids: Sequence[UUID]) -> dict[UUID, ChatMessage]:
        """What was said in these messages, of those that there are."""
        query = select(m.Message.id, m.Message.role, m.Message.text).where(m.Message.id.in_(message_ids))
        async with self._database.transaction(workspace_id) as session:
            return {row.id: ChatMessage(row.role, row.text) for row in await session.execute(query)}

    async def of_thread(self, workspace_id: UUID, thread: str) -> UUID | None:
        """The conversation that a client calls `thread`: by the name it gave it, or by its id."""
        async with self._database.transaction(workspace_id) as session:
            return await find_thread(session, thread)

    async def history(
        self, workspace_id: UUID, conversation_id: UUID, *, limit: int, before: UUID
    ) -> list[ChatMessage]:
        """What was said last before message `before`, oldest first, without what an answer rests on."""
        query = (
            select(m.Message.role, m.Message.text)
            .where(m.Message.conversation_id == conversation_id, m.Message.id < before)
            .order_by(m.Message.id.desc())
            .limit(limit)
        )
        async with self._database.transaction(workspace_id) as session:
            rows = (await session.execute(query)).all()
        return [ChatMessage(role, text) for role, text in reversed(rows)]

    async def delete(self, workspace_id: UUID, conversation_id: UUID) -> None:
        """Delete a conversation with its messages and runs. Raises ConversationNotFound."""
        query = delete(m.Conversation).where(m.Conversation.id == conversation_id).returning(m.Conversation.id)
        async with self._database.transaction(workspace_id) as session:
            if (await session.execute(query)).one_or_none() is None:
                raise ConversationNotFound


async def find_thread(session: AsyncSession, thread: str) -> UUID | None:
    """The id of the conversation of that name or, written as a UUID, of that id."""
    c = m.Conversation
    named = c.thread == thread
    with suppress(ValueError):
        named |= c.id == UUID(thread)
    return (await session.scalars(select(c.id).where(named).limit(1))).one_or_none()


async def _messages(session: Any, conversation_id: UUID, limit: int, reader: str | None) -> list[Message]:
    said = (m.Feedback.message_id == m.Message.id) & (m.Feedback.principal == reader)
    query = (
        select(m.Message, m.Run.id, m.Run.state, m.Feedback.rating, m.Feedback.comment)
        .outerjoin(m.Run, m.Run.message_id == m.Message.id)
        .outerjoin(m.Feedback, said)
        .where(m.Message.conversation_id == conversation_id)
        .order_by(m.Message.id.desc())
        .limit(limit)
    )
    rows: Sequence[Any] = (await session.execute(query)).all()
    return [
        replace(message_of(message, run_id, state), rating=rating, comment=comment)
        for message, run_id, state, rating, comment in reversed(rows)
    ]


def message_of(row: m.Message, run_id: UUID | None, state: str | None) -> Message:
    """A stored row as the domain's value."""
    return Message(
        id=row.id,
        role=row.role,  # type: ignore[arg-type]
        text=row.text,
        created_at=row.created_at,
        run_id=run_id,
        state=RunState(state) if state else None,
        finish_reason=row.finish_reason,
        problem=msgspec.convert(row.problem, Problem | None),
        citations=msgspec.convert(row.citations, tuple[Citation, ...]),
        passages=msgspec.convert(row.passages, tuple[Passage, ...]),
        reranked=row.reranked,
        usage=msgspec.convert(row.usage, Usage | None),
        prompt=row.prompt,
        timings_ms=row.timings_ms,
    )
