"""Chat: ask a question, read the answer as it is written."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

from app.api.dependencies import ServicesDep, VisitorDep
from app.api.problems import RESPONSES
from app.api.streams import EventStream
from app.api.text import Name, QuestionText
from app.api.turns import require_short
from app.api.visitors import encoder
from app.domain.document import MOST_NAME_CHARS
from app.domain.errors import InvalidInput
from app.domain.filter import Filter
from app.domain.filter_fields import BUILT_IN
from app.domain.filter_wire import GROUPS, OPERATORS, parse_filter
from app.services.answering import Question

router = APIRouter(tags=["chat"])

CollectionName = Annotated[Name, Field(min_length=1, max_length=MOST_NAME_CHARS, examples=["default"])]
FilterBody = Annotated[
    Filter | None,
    PlainValidator(parse_filter),
    WithJsonSchema(
        {
            "anyOf": [{"type": "object"}, {"type": "null"}],
            "description": "Conditions on metadata, all of which must hold: values to equal, or the operators "
            f"{', '.join(OPERATORS)}; joined by {', '.join(GROUPS)}. Beside the documents' own metadata there are "
            f"{', '.join(BUILT_IN)}.",
            "examples": [{"lang": "en", "year": {"$gte": 2020, "$lt": 2024}, "tag": {"$in": ["a", "b"]}}],
        }
    ),
]

EXAMPLE_STREAM = (
    'id: 1\nevent: run.started\ndata: {"run_id":"0199…","conversation_id":"0199…","message_id":"0199…",'
    '"created_at":"2026-11-20T09:00:00Z"}\n\n'
    'id: 2\nevent: retrieval.completed\ndata: {"passages":[{"id":"0199…","document_id":"0199…",…}]}\n\n'
    'id: 3\nevent: text.delta\ndata: {"text":"One command installs it."}\n\n'
    'id: 4\nevent: citation\ndata: {"index":1,"sentence_start":0,"sentence_end":24,…,"verdict":"supported"}\n\n'
    'id: 5\nevent: usage\ndata: {"prompt_tokens":412,"completion_tokens":9}\n\n'
    'id: 6\nevent: run.completed\ndata: {"finish_reason":"stop"}\n\n'
)


class ChatRequest(BaseModel):
    """A question."""

    model_config = ConfigDict(extra="forbid")

    message: QuestionText = Field(min_length=1, examples=["How do I install Footnote?"])
    conversation_id: UUID | None = Field(None, description="Go on with this conversation; leave out to begin one.")
    collection: CollectionName | None = Field(None, description="Answer from this collection alone.")
    filter: FilterBody = None
    model: str | None = Field(
        None, max_length=200, description="The configured chat model; for clients that must name one."
    )


@router.post(
    "/v1/chat",
    response_class=EventStream,
    responses=RESPONSES
    | {200: {"description": "The answer's events.", "content": {"text/event-stream": {"example": EXAMPLE_STREAM}}}},
)
async def chat(body: ChatRequest, principal: VisitorDep, services: ServicesDep) -> Response:
    """Answer a question from the documents, streaming.

    The answer is written whether or not anyone reads on: after a lost connection, `GET /v1/runs/{run_id}/events` with
    `Last-Event-ID` gives the rest; `POST /v1/runs/{run_id}/cancel` stops it.
    """
    settings = services.settings
    require_short(body.message, "message", settings)
    name = services.model.profile.name  # without the folder of a file
    if body.model not in {None, name, settings.chat_model}:
        raise InvalidInput(f"model: this server runs {name!r}; leave `model` out or name that one")
    question = Question(body.message, body.conversation_id, body.collection, body.filter)
    run = await services.runs.start(principal, question)
    response = EventStream(heartbeat_s=settings.heartbeat_s, encode=encoder(principal))
    response.batches = services.runs.follow_batches(run.id, take=response.take)
    response.headers["X-Run-Id"] = str(run.id)
    return response
