"""OpenAI chat completions: questions and answers in the protocol that most clients speak."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from app.api.chat import CollectionName, FilterBody
from app.api.dependencies import PrincipalDep, ServicesDep
from app.api.dialects import encoded_stream, read_all, run_id_of, whole_answer
from app.api.encoders.openai_chat import ChatCompletionChunks, completion
from app.api.openai_parameters import TextFormat, ToolChoice
from app.api.problems import RESPONSES, run_problem_response
from app.api.streams import ALSO_A_STREAM
from app.api.turns import ALIAS, Turn, question_of, require_model
from app.bootstrap import Services
from app.domain.principal import Principal
from app.domain.run import RunFailed
from app.services.answering import Question

router = APIRouter(tags=["openai"], responses=RESPONSES)


class StreamOptions(BaseModel):
    """What a stream has beside its chunks."""

    include_usage: bool | None = False


class ChatCompletionBody(BaseModel):
    """A conversation whose last user message is the question.

    Parameters of the model itself (temperature, tools, …) are accepted and have no effect; see `openai_parameters`.
    """

    model_config = ConfigDict(extra="ignore")

    model: str = Field(ALIAS, max_length=200)
    messages: list[Turn] = Field(min_length=1, max_length=1000)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: int | None = Field(None, ge=1, le=1, description="One answer.")
    response_format: TextFormat = Field(None, description="Text.")
    tool_choice: ToolChoice = Field(None, description="`auto` or `none`.")
    function_call: ToolChoice = Field(None, description="`auto` or `none`.")
    conversation_id: UUID | None = Field(None, description="Footnote's own: keep the answer in this conversation.")
    collection: CollectionName | None = Field(None, description="Footnote's own: answer from this collection alone.")
    filter: FilterBody = None


@router.post("/v1/chat/completions", response_model=None, responses=ALSO_A_STREAM)
async def create(
    body: ChatCompletionBody, request: Request, principal: PrincipalDep, services: ServicesDep
) -> Response:
    """Answer the last user message from the documents."""
    require_model(body.model, services.settings)
    text, history = question_of(body.messages, "messages", services.settings)
    question = Question(text, body.conversation_id, body.collection, body.filter, history=history)
    run = await services.runs.start(principal, question)
    if not body.stream:
        return await _completion(services, principal, run.id, body.model, request)
    usage = body.stream_options is not None and bool(body.stream_options.include_usage)
    encoder = ChatCompletionChunks(body.model, include_usage=usage)
    return encoded_stream(services.runs.follow(run.id), encoder, services, run_id=run.id)


@router.get("/v1/chat/completions/{completion_id}", response_model=None)
async def retrieve(completion_id: str, request: Request, principal: PrincipalDep, services: ServicesDep) -> Response:
    """An answer by its id, in whatever dialect it was asked for; waits for the end of one that is being written."""
    return await _completion(services, principal, run_id_of(completion_id, "chatcmpl-"), ALIAS, request)


async def _completion(services: Services, principal: Principal, run_id: UUID, model: str, request: Request) -> Response:
    started, answer = await whole_answer(await read_all(services, principal, run_id), request)
    headers = {"X-Run-Id": str(run_id)}
    if isinstance(answer.end, RunFailed):
        response = run_problem_response(answer.end.problem, request.scope["path"])
        response.headers.update(headers)
        return response
    found: dict[str, Any] = completion(started, answer, model)
    return JSONResponse(found, headers=headers)
