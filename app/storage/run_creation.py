"""Run creation: a question, its empty answer and the run that fills it, in one statement.

It stands before the first word of every answer, and one round trip to PostgreSQL is all it takes.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from app.domain.errors import ConversationBusy, ConversationNotFound, TooManyRuns
from app.domain.run import Run, RunState
from app.storage.engine import Database, WorkspaceConnection
from app.storage.models import new_id

TITLE_CHARS = 80
RETRY_AFTER_S = 5  # about what a short answer takes

_BEGIN = """INSERT INTO conversation (id, workspace_id, title, collection, thread)
    VALUES (%(new_id)s, %(workspace)s, %(title)s, %(collection)s, %(thread)s) RETURNING id"""
_SAID = "SELECT id FROM message WHERE conversation_id = %s ORDER BY id"
# What was said before in another conversation, each answer with its run.
_COPIES = """
copied AS (
    INSERT INTO message (id, workspace_id, conversation_id, role, text, finish_reason, problem, citations, passages,
        reranked, prompt, generation_id, usage, timings_ms, created_at)
    SELECT copy.id, m.workspace_id, talk.id, m.role, m.text, m.finish_reason, m.problem, m.citations, m.passages,
        m.reranked, m.prompt, m.generation_id, m.usage, m.timings_ms, m.created_at
    FROM talk, unnest(%(originals)s::uuid[], %(copies)s::uuid[]) copy(original, id)
    JOIN message m ON m.id = copy.original
),
copied_runs AS (
    INSERT INTO run (id, workspace_id, conversation_id, message_id, state, attempt, created_at, begun_at, finished_at)
    SELECT copy.run_id, r.workspace_id, talk.id, copy.id, r.state, r.attempt, r.created_at, r.begun_at, r.finished_at
    FROM talk, unnest(%(originals)s::uuid[], %(copies)s::uuid[], %(copied_runs)s::uuid[]) copy(original, id, run_id)
    JOIN run r ON r.message_id = copy.original
),"""
# It belongs to a collection as long as no question in it was about others: visitors of that collection may read it.
_CONTINUE = """UPDATE conversation SET updated_at = now(),
    collection = CASE WHEN collection = %(collection)s::text THEN collection END
    WHERE id = %(conversation)s AND (%(only_in)s::text IS NULL OR collection = %(only_in)s) RETURNING id"""
_CREATE = """
WITH talk AS ({talk}),{copies}
forgotten AS (
    DELETE FROM message
    WHERE conversation_id = %(conversation)s AND id > %(forgets_after)s::uuid AND EXISTS (SELECT FROM talk)
),
asked AS (
    INSERT INTO message (id, workspace_id, conversation_id, role, text)
    SELECT %(question_id)s, %(workspace)s, id, 'user', %(text)s FROM talk
),
answer AS (
    INSERT INTO message (id, workspace_id, conversation_id, role)
    SELECT %(message)s, %(workspace)s, id, 'assistant' FROM talk
)
INSERT INTO run (id, workspace_id, conversation_id, message_id, state, attempt, question, request,
    lease_owner, lease_expires_at, begun_at)
SELECT %(run)s, %(workspace)s, id, %(message)s, 'running', 1, %(kept)s::jsonb, %(request)s::jsonb,
    %(owner)s::text, now() + %(lease)s::interval, CASE WHEN %(owner)s::text IS NOT NULL THEN now() END
FROM talk
RETURNING conversation_id, created_at
"""
_THREAD = "SELECT id FROM conversation WHERE thread = %s OR id = %s LIMIT 1"
# Nobody else counts until the commit.
_ONE_COUNTS = "SELECT pg_advisory_xact_lock(hashtext('footnote.runs_written'))"
_COUNT = """
SELECT count(*) FILTER (WHERE begun_at IS NULL), count(*) FILTER (WHERE lease_expires_at >= now())
FROM run WHERE state = 'running'
"""
_ONE_OF_THEIRS = "SELECT pg_advisory_xact_lock(hashtext('footnote.runs_at_once'), hashtext(%s))"
_THEIRS = "SELECT count(*) FROM run WHERE state = 'running' AND question->>'asked_by' = %s"


@dataclass(frozen=True, slots=True)
class NewRun:
    """What is asked, by whom, and in which conversation: one by its id, one by a client's name for it, or a new one.

    `kept` is what another worker needs to go on. What was said in the conversation after message `forgets_after` is
    deleted. `goes_on_after` is the message that it follows: where more was said since, a new conversation begins with a
    copy of what was said up to there. `request` is kept for whoever repeats it. With `only_in` it goes on with a
    conversation of that collection alone.
    """

    question: str
    asked_by: str
    conversation_id: UUID | None = None
    collection: str | None = None
    thread: str | None = None
    kept: dict[str, Any] | None = None
    forgets_after: UUID | None = None
    goes_on_after: UUID | None = None
    request: dict[str, Any] | None = None
    only_in: str | None = None


async def create_run(
    database: Database,
    workspace_id: UUID,
    new: NewRun,
    *,
    owner: str,
    lease: timedelta,
    cap: int | None,
    at_once: int | None,
) -> tuple[Run, int | None]:
    """Store the question and an empty answer, and give `owner` the lease.

    When `cap` runs are held already, nobody gets it, and the run's position among those that wait (from 1) is returned
    with it. Raises ConversationNotFound, ConversationBusy; TooManyRuns when `at_once` runs of the same principal are
    held or wait.
    """
    try:
        if cap is None and at_once is None:
            async with database.reading(workspace_id) as connection:
                return await _insert(connection, workspace_id, new, owner, lease), None
        async with database.connection(workspace_id) as connection:
            if at_once is not None:
                await connection.execute(_ONE_OF_THEIRS, (new.asked_by,))
                await require_few(connection, new.asked_by, at_once)
            if cap is None:
                return await _insert(connection, workspace_id, new, owner, lease), None
            await connection.execute(_ONE_COUNTS)
            waiting, held = await (await connection.execute(_COUNT)).fetchone() or (0, 0)
            if waiting or held >= cap:
                return await _insert(connection, workspace_id, new, None, None), waiting + 1
            return await _insert(connection, workspace_id, new, owner, lease), None
    except psycopg.errors.UniqueViolation as error:
        if error.diag.constraint_name in {"uq_run_running", "uq_conversation_workspace_id_thread"}:
            raise ConversationBusy from error
        raise


async def require_few(connection: WorkspaceConnection, asked_by: str, at_once: int) -> None:
    """Raise TooManyRuns when a principal has `at_once` runs that are held or wait."""
    (under_way,) = await (await connection.execute(_THEIRS, (asked_by,))).fetchone() or (0,)
    if under_way >= at_once:
        raise TooManyRuns(
            f"{under_way} answers are being written for this key, and no more are allowed at once; wait for one or "
            "stop it.",
            RETRY_AFTER_S,
        )


async def _insert(
    connection: WorkspaceConnection, workspace_id: UUID, new: NewRun, owner: str | None, lease: timedelta | None
) -> Run:
    conversation_id = new.conversation_id
    if conversation_id is None and new.thread is not None:
        row = await (await connection.execute(_THREAD, (new.thread, _as_id(new.thread)))).fetchone()
        conversation_id = row[0] if row else None
    originals = await _to_copy(connection, new)
    if originals:
        conversation_id = None
    copies, copied_runs = [new_id() for _ in originals], [new_id() for _ in originals]
    begun_id, question_id, message_id, run_id = (
        new_id(),
        new_id(),
        new_id(),
        new_id(),
    )  # messages are read in this order
    values = {
        "new_id": begun_id,
        "workspace": workspace_id,
        "title": " ".join(new.question.split())[:TITLE_CHARS],
        "collection": new.collection,
        "thread": new.thread,
        "conversation": conversation_id,
        "forgets_after": new.forgets_after,
        "only_in": new.only_in,
        "question_id": question_id,
        "text": new.question,
        "originals": originals,
        "copies": copies,
        "copied_runs": copied_runs,
        "message": message_id,
        "run": run_id,
        "kept": None if new.kept is None else Jsonb(new.kept),
        "request": None if new.request is None else Jsonb(new.request),
        "owner": owner,
        "lease": lease,
    }
    statement = _CREATE.format(
        talk=_BEGIN if conversation_id is None else _CONTINUE, copies=_COPIES if originals else ""
    )
    created = await (await connection.execute(statement, values)).fetchone()
    if created is None:
        raise ConversationNotFound
    return Run(run_id, workspace_id, created[0], message_id, RunState.RUNNING, 1, created[1], new.request)


async def _to_copy(connection: WorkspaceConnection, new: NewRun) -> list[UUID]:
    """The messages that a new conversation begins with, oldest first; none where the old one goes on."""
    if new.goes_on_after is None:
        return []
    said = [id_ for (id_,) in await (await connection.execute(_SAID, (new.conversation_id,))).fetchall()]
    return [] if said[-1:] == [new.goes_on_after] else [id_ for id_ in said if id_ <= new.goes_on_after]


def _as_id(thread: str) -> UUID | None:
    try:
        return UUID(thread)
    except ValueError:
        return None
