"""Completion: a language model's whole reply at once."""

from contextlib import aclosing

from app.domain.conversation import ChatMessage
from app.domain.ports import ChatModel


async def complete(model: ChatModel, system: str, user: str, *, max_tokens: int) -> str:
    """The reply to a system and a user part, on one line. Raises ProviderError."""
    text = ""
    async with aclosing(model.stream(turn(system, user), max_tokens=max_tokens)) as deltas:
        async for delta in deltas:
            text += delta.text
    return " ".join(text.split())


def turn(system: str, user: str) -> list[ChatMessage]:
    """The messages of a rendered prompt."""
    return [ChatMessage("system", system), ChatMessage("user", user)]
