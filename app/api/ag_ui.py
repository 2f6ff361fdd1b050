"""AG-UI: the endpoint that agents of the Agent User Interaction protocol call."""

from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from app.api.ai_sdk import ThreadName, ThreadPath
from app.api.chat import CollectionName, FilterBody
from app.api.dependencies import PrincipalDep, ServicesDep
from app.api.dialects import encoded_stream, read_all, run_of_thread
from app.api.encoders.ag_ui import AgUiEvents
from app.api.problems import RESPONSES
from app.api.streams import EventStream
from app.api.text import Whole
from app.api.turns import question_of, turn_of
from app.services.answering import Question

router = APIRouter(prefix="/v1/ag-ui", tags=["ag-ui"], responses=RESPONSES)


class ForwardedProps(BaseModel):
    """What a client sends beside the protocol's own fields."""

    model_config = ConfigDict(extra="ignore")

    collection: CollectionName | None = None
    filter: FilterBody = None


class RunAgentInput(BaseModel):
    """A thread whose last user message is the question; state, tools and context have no meaning here."""

    model_config = ConfigDict(extra="ignore", alias_generator=to_camel, populate_by_name=True)

    thread_id: ThreadName
    run_id: ThreadName
    messages: Annotated[list[dict[str, Any]], Whole] = Field(min_length=1, max_length=1000)
    forwarded_props: ForwardedProps | None = None


@router.post("", response_model=None, response_class=EventStream)
async def run(body: RunAgentInput, principal: PrincipalDep, services: ServicesDep) -> Response:
    """Answer the last user message as AG-UI events; the thread's id names the conversation."""
    turns = [turn_of(message, f"messages.{place}") for place, message in enumerate(body.messages)]
    text, history = question_of(turns, "messages", services.settings)
    props = body.forwarded_props or ForwardedProps()
    started = await services.runs.start(
        principal, Question(text, None, props.collection, props.filter, body.thread_id, history)
    )
    encoder = AgUiEvents(body.thread_id, body.run_id, body.messages)
    return encoded_stream(services.runs.follow(started.id), encoder, services, run_id=started.id)


@router.get(
    "/{thread_id}/stream",
    response_model=None,
    response_class=EventStream,
    responses={204: {"description": "There is no answer in this thread."}},
)
async def connect(thread_id: ThreadPath, principal: PrincipalDep, services: ServicesDep) -> Response:
    """The newest answer in this thread from its beginning, finished or not, whatever dialect it was asked for in."""
    found = await run_of_thread(services, principal, thread_id, running=False)
    if found is None:
        return Response(status_code=204)
    conversation_id, run_id = found
    conversation = await services.conversations.get(principal.workspace_id, conversation_id)
    before = [
        {"id": str(message.id), "role": message.role, "content": message.text}
        for message in conversation.messages
        if message.run_id != run_id
    ]
    events = await read_all(services, principal, run_id)
    return encoded_stream(events, AgUiEvents(thread_id, None, before), services, run_id=run_id)


@router.post("/{thread_id}/stop", status_code=204)
async def stop(thread_id: ThreadPath, principal: PrincipalDep, services: ServicesDep) -> None:
    """Stop the answer that is being written. A client that merely goes away stops nothing."""
    found = await run_of_thread(services, principal, thread_id, running=True)
    if found is not None:
        await services.runs.cancel(principal, found[1])
