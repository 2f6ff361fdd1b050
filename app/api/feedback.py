"""Feedback: readers say what they think of an answer."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from app.api.dependencies import ServicesDep, VisitorDep
from app.api.problems import RESPONSES
from app.api.text import Text
from app.domain.feedback import Feedback, Rating

router = APIRouter(tags=["conversations"], responses=RESPONSES)


class FeedbackBody(BaseModel):
    """A rating, and what was right or wrong."""

    model_config = ConfigDict(extra="forbid")

    rating: Rating
    comment: Annotated[Text, Field(max_length=2000)] | None = None


@router.put("/v1/messages/{message_id}/feedback")
async def put_feedback(message_id: UUID, body: FeedbackBody, principal: VisitorDep, services: ServicesDep) -> Feedback:
    """Rate an answer by its message's id; a second rating takes the place of the first."""
    return await services.feedback.put(principal, message_id, body.rating, body.comment or None)


@router.delete("/v1/messages/{message_id}/feedback", status_code=204)
async def delete_feedback(message_id: UUID, principal: VisitorDep, services: ServicesDep) -> None:
    """Take a rating back."""
    await services.feedback.delete(principal, message_id)
