"""OpenAI Responses: answers that go on without their reader, are read again and stopped by their id."""

from contextlib import suppress
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from app.api.chat import CollectionName, FilterBody
from app.api.dependencies import PrincipalDep, ServicesDep
from app.api.dialects import encoded_stream, read_all, run_id_of, whole_answer
from app.api.encoders.openai_responses import ResponseEvents, response_object
from app.api.openai_parameters import TextFormat, ToolChoice
from app.api.problems import RESPONSES
from app.api.streams import ALSO_A_STREAM
from app.api.text import MAX_INTEGER, Text
from app.api.turns import ALIAS, Turn, question_of, require_model, turn_of
from app.bootstrap import Services
from app.domain.errors import ConversationNotFound, InvalidInput, RunNotFound
from app.domain.principal import Principal
from app.domain.run import Run, RunStarted, RunState
from app.services.answering import Question
from app.services.outcome import AnswerSoFar

router = APIRouter(tags=["openai"], responses=RESPONSES)

PREFIX = "resp_"
MESSAGE_PREFIX = "msg_"
NO_MESSAGE = UUID(int=0)

MetadataKey = Annotated[Text, Field(max_length=64)]
MetadataValue = Annotated[Text, Field(max_length=512)]


class ConversationName(BaseModel):
    """A conversation by its id."""

    id: str


class TextOptions(BaseModel):
    """How an answer is to be written."""

    model_config = ConfigDict(extra="ignore")

    format: TextFormat = Field(None, description="Text.")


class ResponseBody(BaseModel):
    """A question, alone or as the last user message of several.

    Parameters of the model itself (instructions, temperature, tools, …) are accepted and have no effect; see
    `openai_parameters`.
    """

    model_config = ConfigDict(extra="ignore")

    model: str = Field(ALIAS, max_length=200)
    input: str | list[dict[str, Any]] = Field(max_length=1_000_000)
    stream: bool | None = False
    background: bool | None = Field(False, description="Do not wait for the answer; retrieve it by its id.")
    previous_response_id: str | None = Field(None, max_length=200)
    conversation: str | ConversationName | None = None
    metadata: dict[MetadataKey, MetadataValue] | None = Field(None, max_length=16)
    text: TextOptions | None = None
    tool_choice: ToolChoice = Field(None, description="`auto` or `none`.")
    collection: CollectionName | None = Field(None, description="Footnote's own: answer from this collection alone.")
    filter: FilterBody = None


@router.post("/v1/responses", response_model=None, responses=ALSO_A_STREAM)
async def create(body: ResponseBody, request: Request, principal: PrincipalDep, services: ServicesDep) -> Response:
    """Answer from the documents; a response goes on whether or not anyone reads it."""
    require_model(body.model, services.settings)
    text, history = question_of(await _turns(body.input, principal, services), "input", services.settings)
    conversation_id, previous = await _place(body, principal, services)
    if conversation_id is not None:
        history = ()  # the conversation holds it
    question = Question(
        text,
        conversation_id,
        body.collection,
        body.filter,
        history=history,
        background=bool(body.background),
        goes_on_after=previous,
        request={
            "model": body.model,
            "background": bool(body.background),
            "previous_response_id": body.previous_response_id,
            "metadata": body.metadata or {},
        },
    )
    run = await services.runs.start(principal, question)
    if body.stream:
        return encoded_stream(services.runs.follow(run.id), ResponseEvents(_asked(run)), services, run_id=run.id)
    if body.background:
        return JSONResponse(response_object(_started(run), AnswerSoFar(), _asked(run)))
    started, answer = await whole_answer(services.runs.follow(run.id), request)
    return JSONResponse(response_object(started, answer, _asked(run)))


@router.get("/v1/responses/{response_id}", response_model=None, responses=ALSO_A_STREAM)
async def retrieve(
    response_id: str,
    request: Request,
    principal: PrincipalDep,
    services: ServicesDep,
    stream: bool = False,
    starting_after: Annotated[
        int, Query(ge=-1, le=MAX_INTEGER, description="Stream what follows this sequence number.")
    ] = -1,
) -> Response:
    """A response as it stands, or its events, in whatever dialect it was asked for."""
    run_id = run_id_of(response_id, PREFIX)
    if stream:
        encoder = ResponseEvents(_asked(await services.runs.get(principal, run_id)), after=starting_after)
        return encoded_stream(await read_all(services, principal, run_id), encoder, services, run_id=run_id)
    return JSONResponse(await _as_it_stands(services, principal, run_id, request))


@router.post("/v1/responses/{response_id}/cancel", response_model=None)
async def cancel(response_id: str, request: Request, principal: PrincipalDep, services: ServicesDep) -> Response:
    """Stop it. When this answers, the model has stopped and the partial answer is stored."""
    run_id = run_id_of(response_id, PREFIX)
    await services.runs.cancel(principal, run_id)
    return JSONResponse(await _as_it_stands(services, principal, run_id, request))


async def _as_it_stands(services: Services, principal: Principal, run_id: UUID, request: Request) -> dict[str, Any]:
    run = await services.runs.get(principal, run_id)
    if run.state is RunState.RUNNING:
        return response_object(_started(run), AnswerSoFar(), _asked(run))
    started, answer = await whole_answer(await read_all(services, principal, run_id), request)
    return response_object(started, answer, _asked(run))


async def _place(body: ResponseBody, principal: Principal, services: Services) -> tuple[UUID | None, UUID | None]:
    """The conversation to go on with, and the message in it that the question follows, if one was named.

    Raises RunNotFound, ConversationNotFound, InvalidInput.
    """
    if body.previous_response_id is not None and body.conversation is not None:
        raise InvalidInput("previous_response_id: name the previous response or the conversation, not both")
    if body.previous_response_id is not None:
        previous = await services.runs.get(principal, run_id_of(body.previous_response_id, PREFIX))
        return previous.conversation_id, previous.message_id
    if body.conversation is None:
        return None, None
    name = body.conversation if isinstance(body.conversation, str) else body.conversation.id
    try:
        return run_id_of(name, "conv_"), None
    except RunNotFound as error:
        raise ConversationNotFound(f"There is no conversation with the id {name!r}.") from error


async def _turns(given: str | list[dict[str, Any]], principal: Principal, services: Services) -> list[Turn]:
    """Messages, also those that are named as items of earlier responses; other items (calls of tools) say nothing."""
    if isinstance(given, str):
        return [Turn(role="user", content=given)]
    named = {place: message_id for place, item in enumerate(given) if (message_id := _message_named(item)) is not None}
    said = await services.conversations.texts(principal.workspace_id, list(named.values())) if named else {}
    turns = []
    for place, item in enumerate(given):
        if (message := said.get(named.get(place, NO_MESSAGE))) is not None:
            turns.append(Turn(role=message.role, content=message.content))
        elif item.get("type", "message") == "message":
            turns.append(turn_of(item, f"input.{place}"))
    return turns


def _message_named(item: dict[str, Any]) -> UUID | None:
    """The message of an `item_reference`, in whose place AI SDK's client of this protocol sends no text."""
    if item.get("type") != "item_reference":
        return None
    prefix, _, name = str(item.get("id")).partition("_")
    with suppress(RunNotFound):
        return run_id_of(f"{prefix}_{name.partition('_')[0]}", MESSAGE_PREFIX)  # msg_…_1 once it was begun anew
    return None


def _started(run: Run) -> RunStarted:
    return RunStarted(str(run.id), str(run.conversation_id), str(run.message_id), run.created_at)


def _asked(run: Run) -> dict[str, Any]:
    """What is repeated of its request, or said of one in another dialect."""
    return run.request or {"model": ALIAS, "background": True, "previous_response_id": None, "metadata": {}}
