"""AI SDK: the endpoints that the chat transport of Vercel's AI SDK calls."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.api.chat import CollectionName, FilterBody
from app.api.dependencies import PrincipalDep, ServicesDep
from app.api.dialects import encoded_stream, read_all, run_of_thread
from app.api.encoders.ai_sdk import HEADERS, UIMessageStream, ui_messages
from app.api.problems import RESPONSES
from app.api.streams import EventStream
from app.api.text import Name
from app.api.turns import Turn, question_of
from app.bootstrap import Services
from app.domain.conversation import Message
from app.domain.errors import ConversationNotFound
from app.domain.principal import Principal
from app.services.answering import Question

router = APIRouter(prefix="/v1/ai-sdk", tags=["ai-sdk"], responses=RESPONSES)
NOTHING = UUID(int=0)
"""The id before every message."""

ThreadName = Annotated[Name, Field(min_length=1, max_length=200)]
ThreadPath = Annotated[Name, Path(min_length=1, max_length=200)]


class UIMessage(BaseModel):
    """One message of the chat; only its text parts say something here."""

    model_config = ConfigDict(extra="ignore")

    id: Any = None
    role: Literal["system", "user", "assistant"]
    parts: list[dict[str, Any]] = Field(default=[], max_length=10_000)

    def turn(self) -> Turn:
        """As a turn; of an answer that was begun anew the last text part counts."""
        texts = [part for part in self.parts if part.get("type") != "text" or part.get("text")]
        if self.role == "assistant":
            texts = [part for part in texts if part.get("type") == "text"][-1:]
        return Turn(role=self.role, content=[part for part in texts if not _beside_text(part)])


def _beside_text(part: dict[str, Any]) -> bool:
    kind = str(part.get("type"))
    return kind.startswith(("data-", "source-", "step-"))


class ChatBody(BaseModel):
    """A chat by the client's own id for it, whose last user message is the question.

    A client that leaves the messages before to the server sends the last one as `message`.
    """

    model_config = ConfigDict(extra="ignore")

    id: ThreadName
    messages: list[UIMessage] = Field(min_length=1, max_length=1000)
    message: UIMessage | None = None
    trigger: str | None = Field(None, max_length=100)
    message_id: str | None = Field(None, alias="messageId", max_length=200)
    collection: CollectionName | None = None
    filter: FilterBody = None

    @model_validator(mode="before")
    @classmethod
    def _alone(cls, body: Any) -> Any:
        if not isinstance(body, dict) or body.get("message") is None:
            return body
        return body | ({"messages": [body["message"]]} if body.get("messages") is None else {"message": None})

    @property
    def rewrites(self) -> bool:
        """Whether a message is answered again, or was edited: the client has dropped what came after it."""
        return self.trigger == "regenerate-message" or self.message_id is not None

    def kept(self, stored: Sequence[Message]) -> UUID | None:
        """The stored message after which the client has dropped everything; None when that is not known."""
        if self.message is not None:
            return self._before(stored)
        question = max(place for place, message in enumerate(self.messages) if message.role == "user")
        answers = [message for message in self.messages[:question] if message.role == "assistant"]
        if not answers:
            return NOTHING
        return next((each.id for each in stored if str(each.id) == answers[-1].id), None)

    def _before(self, stored: Sequence[Message]) -> UUID | None:
        """The one before the question that is named, whose answer is named, or that is the last."""
        asked = [place for place, each in enumerate(stored) if each.role == "user"]
        if self.message_id is not None:
            named = [place for place, each in enumerate(stored) if str(each.id) == self.message_id]
            asked = [place for place in asked if named and place <= named[0]]
        if not asked:
            return None
        return stored[asked[-1] - 1].id if asked[-1] else NOTHING


@router.post("/chat", response_model=None, response_class=EventStream)
async def chat(body: ChatBody, principal: PrincipalDep, services: ServicesDep) -> Response:
    """Answer the last user message as a UI message stream; the chat's id names the conversation."""
    turns = [message.turn() for message in body.messages]
    text, history = question_of(turns, "messages", services.settings)
    forgets = await _kept(body, principal, services) if body.rewrites else None
    question = Question(text, None, body.collection, body.filter, body.id, history, forgets_after=forgets)
    run = await services.runs.start(principal, question)
    return encoded_stream(services.runs.follow(run.id), UIMessageStream(), services, run_id=run.id, headers=HEADERS)


async def _kept(body: ChatBody, principal: Principal, services: Services) -> UUID | None:
    """The message after which the client has dropped everything; an answer that is being written there is stopped.

    None when what the client kept is not known here.
    """
    conversation_id = await services.conversations.of_thread(principal.workspace_id, body.id)
    if conversation_id is None:
        return None
    stored = (await services.conversations.get(principal.workspace_id, conversation_id)).messages
    kept = body.kept(stored)
    for message in stored:
        dropped = kept is not None and message.id > kept
        if dropped and message.state == "running" and message.run_id is not None:
            await services.runs.cancel(principal, message.run_id)
    return kept


@router.get(
    "/chat/{chat_id}/stream",
    response_model=None,
    response_class=EventStream,
    responses={204: {"description": "No answer is being written in this chat."}},
)
async def resume(chat_id: ThreadPath, principal: PrincipalDep, services: ServicesDep) -> Response:
    """The answer that is being written in this chat, from its beginning."""
    found = await run_of_thread(services, principal, chat_id, running=True)
    if found is None:
        return Response(status_code=204)
    events = await read_all(services, principal, found[1])
    return encoded_stream(events, UIMessageStream(), services, run_id=found[1], headers=HEADERS)


@router.post("/chat/{chat_id}/stop", status_code=204)
async def stop(chat_id: ThreadPath, principal: PrincipalDep, services: ServicesDep) -> None:
    """Stop the answer that is being written. A client that merely goes away stops nothing, so that it can resume."""
    found = await run_of_thread(services, principal, chat_id, running=True)
    if found is not None:
        await services.runs.cancel(principal, found[1])


@router.get("/chat/{chat_id}")
async def messages(chat_id: ThreadPath, principal: PrincipalDep, services: ServicesDep) -> dict[str, Any]:
    """The chat's messages as a client begins with them, whatever dialect they were written in."""
    conversation_id = await services.conversations.of_thread(principal.workspace_id, chat_id)
    if conversation_id is None:
        raise ConversationNotFound(f"There is no chat {chat_id!r}.")
    conversation = await services.conversations.get(principal.workspace_id, conversation_id)
    return {"id": chat_id, "messages": ui_messages(conversation.messages)}
