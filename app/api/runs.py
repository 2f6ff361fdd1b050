"""Runs: resume an answer's stream, stop an answer."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Response
from pydantic import BaseModel

from app.api.dependencies import ServicesDep, VisitorDep
from app.api.problems import RESPONSES
from app.api.streams import EventStream
from app.api.text import MAX_INTEGER
from app.api.visitors import encoder
from app.domain.run import RunState

router = APIRouter(tags=["runs"])


class RunStopped(BaseModel):
    """How the run stands, and how much of its answer was kept: characters, and tokens of cl100k_base."""

    run_id: UUID
    state: RunState
    text_chars: int
    tokens: int


@router.get(
    "/v1/runs/{run_id}/events",
    response_class=EventStream,
    responses=RESPONSES | {204: {"description": "The client has every event; an EventSource stops reconnecting."}},
)
async def events(
    run_id: UUID,
    principal: VisitorDep,
    services: ServicesDep,
    last_event_id: Annotated[int, Header(ge=0, le=MAX_INTEGER, description="Give what follows this event.")] = 0,
) -> Response:
    """The run's events after `Last-Event-ID`, exactly the rest: those that were written and those to come."""
    response = EventStream(heartbeat_s=services.settings.heartbeat_s, encode=encoder(principal))
    batches = await services.runs.read_batches(principal, run_id, last_event_id, response.take)
    if batches is None:
        return Response(status_code=204)
    response.batches = batches
    return response


@router.post("/v1/runs/{run_id}/cancel", responses=RESPONSES)
async def cancel(run_id: UUID, principal: VisitorDep, services: ServicesDep) -> RunStopped:
    """Stop the run. When this answers, the model has stopped and the partial answer is stored."""
    stopped = await services.runs.cancel(principal, run_id)
    return RunStopped(run_id=stopped.run_id, state=stopped.state, text_chars=stopped.text_chars, tokens=stopped.tokens)
