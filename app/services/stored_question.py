"""Stored question: what a run answers, as kept with it, so that any worker can answer it."""

from typing import Any

from app.domain.conversation import ChatMessage
from app.domain.filter_wire import filter_json, parse_filter
from app.domain.principal import Principal
from app.domain.run import Run
from app.services.answering import Question


def stored(principal: Principal, question: Question) -> dict[str, Any]:
    """The question as JSON; the conversation that it belongs to is the run's."""
    return {
        "asked_by": principal.name,
        "visits": principal.collection,
        "text": question.text,
        "collection": question.collection,
        "filter": None if question.filter is None else filter_json(question.filter),
        "history": [[message.role, message.content] for message in question.history],
        "continues": question.continues,
        "background": question.background,
    }


def restored(run: Run, kept: dict[str, Any] | None) -> tuple[Principal, Question]:
    """Who asked and what; an empty question when nothing was kept."""
    if kept is None:
        return Principal(run.workspace_id), Question("")
    return Principal(run.workspace_id, kept["asked_by"], kept.get("visits")), Question(
        kept["text"],
        run.conversation_id if kept["continues"] else None,
        kept["collection"],
        parse_filter(kept["filter"]),
        history=tuple(ChatMessage(role, content) for role, content in kept["history"]),
        background=kept["background"],
    )
