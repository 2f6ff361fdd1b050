"""Completion: a language model's whole reply at once."""

from collections.abc import Sequence
from contextlib import aclosing

from app.domain.conversation import ChatMessage
from app.domain.ports import ChatModel


async def complete(model: ChatModel, messages: Sequence[ChatMessage], *, max_tokens: int) -> str:
    """The reply, on one line. Raises ProviderError."""
    text = ""
    async with aclosing(model.stream(messages, max_tokens=max_tokens)) as deltas:
        async for delta in deltas:
            text += delta.text
    return " ".join(text.split())
