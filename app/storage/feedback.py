"""Feedback: ratings of answers, and the answers that they rate."""

from uuid import UUID

from app.domain.errors import MessageNotFound
from app.domain.feedback import Feedback, RatedAnswer, Rating
from app.domain.principal import Principal
from app.storage.conversations import ConversationStore
from app.storage.engine import Database

HISTORY_MESSAGES = 7
_PUT = """
INSERT INTO feedback (message_id, principal, workspace_id, rating, comment)
SELECT id, %(principal)s, workspace_id, %(rating)s, %(comment)s FROM message
WHERE id = %(message)s AND role = 'assistant' AND (%(only_in)s::text IS NULL OR EXISTS (
    SELECT FROM conversation c WHERE c.id = message.conversation_id AND c.collection = %(only_in)s
))
ON CONFLICT (message_id, principal) DO UPDATE
    SET rating = excluded.rating, updated_at = now(), comment = CASE
        WHEN excluded.rating = feedback.rating THEN coalesce(excluded.comment, feedback.comment)
        ELSE excluded.comment
    END
RETURNING message_id, rating, comment, updated_at
"""
_DELETE = "DELETE FROM feedback WHERE message_id = %s AND principal = %s"
_ALL = """
SELECT f.message_id, f.rating, f.comment, f.updated_at, m.conversation_id
FROM feedback f JOIN message m ON m.id = f.message_id ORDER BY f.updated_at, f.message_id
"""


class FeedbackStore:
    """Writes and reads ratings."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._conversations = ConversationStore(database)

    async def put(self, principal: Principal, message_id: UUID, rating: Rating, comment: str | None) -> Feedback:
        """Rate an answer, in place of what the same reader said before; the same rating without a comment keeps it.

        Raises MessageNotFound.
        """
        said = {
            "principal": principal.name,
            "rating": rating,
            "comment": comment,
            "message": message_id,
            "only_in": principal.collection,
        }
        async with self._database.connection(principal.workspace_id) as connection:
            row = await (await connection.execute(_PUT, said)).fetchone()
        if row is None:
            raise MessageNotFound
        return Feedback(*row)

    async def delete(self, principal: Principal, message_id: UUID) -> None:
        """Take a rating back; nothing happens when there is none."""
        async with self._database.connection(principal.workspace_id) as connection:
            await connection.execute(_DELETE, (message_id, principal.name))

    async def rated(self, workspace_id: UUID) -> list[RatedAnswer]:
        """Every rated answer, in the order of the ratings."""
        async with self._database.connection(workspace_id) as connection:
            rows = await (await connection.execute(_ALL)).fetchall()
        found = []
        for *said, conversation_id in rows:
            conversation = await self._conversations.get(workspace_id, conversation_id)
            place = next((i for i, each in enumerate(conversation.messages) if each.id == said[0]), 0)
            before = conversation.messages[max(0, place - HISTORY_MESSAGES) : place]
            if before:
                found.append(RatedAnswer(Feedback(*said), conversation.messages[place], before))
        return found
