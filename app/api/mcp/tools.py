"""MCP tools: what they are called, what they take, what they answer."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Annotated, Any
from uuid import UUID

import anyio
import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.api.mcp.footnoted import footnoted
from app.api.text import QuestionText, Text
from app.bootstrap import Services
from app.domain.errors import DocumentNotFound, FootnoteError, InvalidInput
from app.domain.passage import Passage
from app.domain.principal import Principal
from app.domain.run import Run, RunFailed, RunQueued, TextDelta
from app.services.answering import Question
from app.services.outcome import AnswerSoFar
from app.services.retrieval import SearchRequest

SEARCH_PASSAGES = 20
TELL_EVERY = 80  # characters between two notifications of progress
Progress = Callable[[float, str | None], Awaitable[None]]
"""Tells the client how many characters were written, and what is going on."""

Collection = Annotated[
    str | None, Field(min_length=1, max_length=100, description="Only this collection; all of them without.")
]


class Search(BaseModel):
    """Search the documents. Returns those that fit best, best first, each with its id, title and URL; `fetch` gives
    their text."""

    model_config = ConfigDict(extra="forbid")

    query: Text = Field(min_length=1, max_length=8000, description="What to look for, in words or as a question.")
    collection: Collection = None


class Fetch(BaseModel):
    """Read a document: its whole text, title and URL, by an id that `search` gave."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(description="A document's id, as `search` gives it.")


class Ask(BaseModel):
    """Ask a question about the documents. Returns an answer whose sentences carry footnotes to the passages that
    support them; [?] marks a sentence that nothing supports."""

    model_config = ConfigDict(extra="forbid")

    question: QuestionText = Field(min_length=1, description="The question, in full sentences.")
    collection: Collection = None
    conversation_id: UUID | None = Field(None, description="Go on with the conversation of an earlier answer.")


TOOLS: dict[str, type[BaseModel]] = {"search": Search, "fetch": Fetch, "ask": Ask}
"""What each tool takes; the docstrings are what clients are told about it."""


async def call(
    services: Services, principal: Principal, name: str, arguments: dict[str, Any], progress: Progress
) -> dict[str, Any]:
    """The tool's result. Raises InvalidInput for arguments that do not fit, and what the services raise."""
    try:
        match name:
            case "search":
                return await _search(services, principal, Search.model_validate(arguments))
            case "fetch":
                return await _fetch(services, principal, Fetch.model_validate(arguments))
            case "ask":
                return await _ask(services, principal, Ask.model_validate(arguments), progress)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise InvalidInput(f"The arguments of {name} do not fit: {faults}") from error
    raise InvalidInput(f"There is no tool {name!r} here; there are {', '.join(TOOLS)}.")


async def _search(services: Services, principal: Principal, asked: Search) -> dict[str, Any]:
    found = await services.retrieval.search(principal, SearchRequest(asked.query, SEARCH_PASSAGES, asked.collection))
    best: dict[str, Passage] = {}
    for passage in found:
        best.setdefault(passage.document_id, passage)
    return {"results": [{"id": p.document_id, "title": p.title, "url": p.uri} for p in best.values()]}


async def _fetch(services: Services, principal: Principal, asked: Fetch) -> dict[str, Any]:
    try:
        document_id = UUID(asked.id)
    except ValueError as error:
        raise DocumentNotFound(f"There is no document with the id {asked.id!r}; `search` gives ids.") from error
    document = await services.documents.text(principal.workspace_id, document_id)
    return {
        "id": asked.id,
        "title": document.title,
        "text": document.text,
        "url": document.uri,
        "metadata": {"collection": document.collection, "media_type": document.media_type},
    }


async def _followed(services: Services, run: Run, progress: Progress) -> AnswerSoFar:
    answer, told = AnswerSoFar(), 0
    async with aclosing(services.runs.follow(run.id)) as events:
        async for logged in events:
            event = logged.event()
            answer.add(event)
            if isinstance(event, RunQueued):
                await progress(0, f"waiting for its turn, number {event.position} in line")
            elif isinstance(event, TextDelta) and len(answer.text) - told >= TELL_EVERY:
                told = len(answer.text)
                await progress(told, "writing the answer")
    return answer


async def _ask(services: Services, principal: Principal, asked: Ask, progress: Progress) -> dict[str, Any]:
    limit = services.settings.max_message_chars
    if len(asked.question) > limit:
        raise InvalidInput(f"question: it has {len(asked.question)} characters, the limit is {limit}")
    question = Question(asked.question, asked.conversation_id, asked.collection)
    run = await services.runs.start(principal, question)
    try:
        answer = await _followed(services, run, progress)
    except asyncio.CancelledError:  # whoever called the tool will never see the answer
        with anyio.CancelScope(shield=True):
            await services.runs.cancel(principal, run.id)
        raise
    if isinstance(answer.end, RunFailed):
        raise FootnoteError(f"{answer.end.problem.title}. {answer.end.problem.detail}")
    passages = {passage.id: passage for passage in answer.passages}
    notes = {
        citation.index: {
            "index": citation.index,
            "document_id": citation.document_id,
            "title": passages[citation.passage_id].title,
            "url": passages[citation.passage_id].uri,
            "quote": citation.quote,
            "verdict": citation.verdict,
        }
        for citation in answer.citations
        if citation.index and citation.passage_id in passages
    }
    return {
        "answer": footnoted(answer),
        "footnotes": [notes[index] for index in sorted(notes)],
        "finish_reason": msgspec.to_builtins(answer.end).get("finish_reason", "cancelled"),
        "conversation_id": str(run.conversation_id),
        "run_id": str(run.id),
    }
