"""Visitors: what they are shown of runs, conversations and documents; nothing tells how the server is set up."""

from collections.abc import Callable
from dataclasses import replace

from app.api.encoders import native
from app.domain.conversation import Conversation, Message
from app.domain.document import DocumentText, public_name
from app.domain.errors import EmbedderMismatch, ProviderError
from app.domain.passage import Passage
from app.domain.principal import Principal
from app.domain.run import LoggedEvent, Problem, RetrievalCompleted, RunFailed, encode_event


def encoder(principal: Principal) -> Callable[[LoggedEvent], bytes]:
    """The native encoder of events, as they are for whoever reads."""
    return native.encode if principal.collection is None else _encode


def conversation_for(principal: Principal, conversation: Conversation) -> Conversation:
    """The conversation as its reader sees it."""
    if principal.collection is None:
        return conversation
    return replace(conversation, messages=tuple(map(_message, conversation.messages)))


def document_for(principal: Principal, document: DocumentText) -> DocumentText:
    """The document as its reader sees it."""
    return document if principal.collection is None else replace(document, uri=public_name(document.uri))


def _encode(event: LoggedEvent) -> bytes:
    if event.type not in {RetrievalCompleted.type, RunFailed.type}:
        return native.encode(event)
    match known := event.event():
        case RetrievalCompleted(passages):
            known = replace(known, passages=tuple(map(_passage, passages)))
        case RunFailed(problem):
            known = RunFailed(_problem(problem))
    return native.encode(LoggedEvent(event.id, event.type, encode_event(known)))


def _message(message: Message) -> Message:
    problem = None if message.problem is None else _problem(message.problem)
    return replace(message, passages=tuple(map(_passage, message.passages)), problem=problem)


def _passage(passage: Passage) -> Passage:
    return replace(passage, uri=public_name(passage.uri))


def _problem(problem: Problem) -> Problem:
    """Without the addresses and names of models, which the detail of these has."""
    told = problem.code not in _OF_MODELS
    return problem if told else replace(problem, detail="The answer could not be written; ask again later.")


_OF_MODELS = {ProviderError.code, EmbedderMismatch.code} | {kind.code for kind in ProviderError.__subclasses__()}
