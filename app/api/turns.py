"""Turns: what a client says was said, as a question and what came before it."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.api.text import cleaned
from app.domain.conversation import ChatMessage
from app.domain.errors import InvalidInput, ModelNotFound
from app.settings import Settings

ALIAS = "footnote"
"""The model's name for clients that must name one, whatever the server runs."""

TEXT_PARTS = frozenset({"text", "input_text", "output_text", "refusal"})
Parts = Annotated[list[dict[str, Any]], Field(max_length=1000)]


class Turn(BaseModel):
    """One message as OpenAI's and AG-UI's clients send it; other fields than these have no meaning here."""

    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant", "tool", "function", "activity", "reasoning"]
    content: str | Parts | dict[str, Any] | None = None
    id: str | None = None

    @property
    def text(self) -> str:
        """Its text; of parts, those that are text."""
        if isinstance(self.content, list):
            return "\n".join(str(part.get("text") or "") for part in self.content if _is_text(part))
        return self.content if isinstance(self.content, str) else ""


def turn_of(item: dict[str, Any], field: str) -> Turn:
    """The item as a turn. Raises InvalidInput with its `field` in the body."""
    try:
        return Turn.model_validate(item)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, (field, *fault['loc'])))}: {fault['msg']}" for fault in error.errors())
        raise InvalidInput(faults) from error


def question_of(turns: Sequence[Turn], field: str, settings: Settings) -> tuple[str, tuple[ChatMessage, ...]]:
    """The last user message, and the users' and assistants' messages before it.

    What a client says as the system is left out: how answers are written is this server's to say. Raises InvalidInput.
    """
    at = max((place for place, turn in enumerate(turns) if turn.role == "user"), default=None)
    if at is None:
        raise InvalidInput(f"{field}: there is no user message; the last one is the question")
    asked = turns[at]
    if isinstance(asked.content, list) and not all(map(_is_text, asked.content)):
        raise InvalidInput(f"{field}: the question holds something other than text; ingest files and ask about them")
    question = _text(asked, f"{field}.{at}").strip()
    if not question:
        raise InvalidInput(f"{field}: the question is empty; send some text")
    require_short(question, field, settings)
    roles: dict[str, Literal["user", "assistant"]] = {"user": "user", "assistant": "assistant"}
    earlier = tuple(
        ChatMessage(roles[turn.role], _text(turn, f"{field}.{place}"))
        for place, turn in enumerate(turns[:at])
        if turn.role in roles and turn.text
    )
    return question, earlier


def _is_text(part: dict[str, Any]) -> bool:
    kind = part.get("type")
    return isinstance(kind, str) and kind in TEXT_PARTS


def _text(turn: Turn, field: str) -> str:
    try:
        return cleaned(turn.text)
    except ValueError as error:
        raise InvalidInput(f"{field}: {error}") from error


def require_short(question: str, field: str, settings: Settings) -> None:
    """Raise InvalidInput for a question over FOOTNOTE_MAX_MESSAGE_CHARS."""
    if len(question) > settings.max_message_chars:
        raise InvalidInput(
            f"{field}: the question has {len(question)} characters, the limit is {settings.max_message_chars} "
            "(FOOTNOTE_MAX_MESSAGE_CHARS)"
        )


def require_model(name: str | None, settings: Settings) -> None:
    """Raise ModelNotFound for another model than the one that answers here."""
    if name not in {None, ALIAS, settings.chat_model}:
        raise ModelNotFound(
            f"There is no model {name!r} here; this server runs {settings.chat_model!r}, also called {ALIAS!r}."
        )
