"""Conversations: list, read, delete."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel

from app.api.dependencies import PrincipalDep, ServicesDep, VisitorDep
from app.api.problems import RESPONSES
from app.api.visitors import conversation_for
from app.bootstrap import Services
from app.domain.conversation import Conversation, ConversationSummary
from app.domain.errors import ConversationNotFound
from app.domain.principal import Principal

router = APIRouter(tags=["conversations"], responses=RESPONSES)


class ConversationPage(BaseModel):
    """Conversations, the newest first."""

    conversations: list[ConversationSummary]


@router.get("/v1/conversations")
async def list_conversations(
    principal: PrincipalDep,
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[UUID | None, Query(description="The last id of the page before.")] = None,
) -> ConversationPage:
    """The newest conversations first."""
    found = await services.conversations.page(principal.workspace_id, limit=limit, before=before)
    return ConversationPage(conversations=found)


@router.get("/v1/conversations/{conversation_id}")
async def get_conversation(conversation_id: UUID, principal: VisitorDep, services: ServicesDep) -> Conversation:
    """A conversation with its messages, oldest first; a running answer names its run, whose events tell the rest."""
    return conversation_for(principal, await _readable(conversation_id, principal, services))


@router.delete("/v1/conversations/{conversation_id}", status_code=204)
async def delete_conversation(conversation_id: UUID, principal: VisitorDep, services: ServicesDep) -> None:
    """Delete a conversation with everything in it. An answer that is being written in it is stopped first."""
    conversation = await _readable(conversation_id, principal, services)
    for message in conversation.messages:
        if message.state == "running" and message.run_id is not None:
            await services.runs.cancel(principal, message.run_id)
    await services.conversations.delete(principal.workspace_id, conversation_id)


async def _readable(conversation_id: UUID, principal: Principal, services: Services) -> Conversation:
    conversation = await services.conversations.get(principal.workspace_id, conversation_id, reader=principal.name)
    if not principal.may_see(conversation.collection):
        raise ConversationNotFound
    return conversation
