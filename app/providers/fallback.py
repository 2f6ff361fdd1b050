"""Fallback: several chat models as one; when one fails before its first word, the next one answers."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import structlog

from app.domain.conversation import ChatMessage
from app.domain.errors import ProviderError
from app.domain.ports import ChatDelta, ChatModel, ChatModelProfile

log = structlog.get_logger()


class FallbackChatModel:
    """Asks the models in their order. Each provider's package has tried again by itself before its failure comes here.

    An answer that has begun stays with its model: another one would not go on in the same words.
    """

    def __init__(self, models: Sequence[ChatModel]) -> None:
        """The first is the one that answers unless it fails."""
        self._models = models

    @property
    def profile(self) -> ChatModelProfile:
        """The first model's name; what is asked must suit all of them."""
        profiles = [model.profile for model in self._models]
        return ChatModelProfile(
            profiles[0].name,
            min(profile.context_tokens for profile in profiles),
            small=any(profile.small for profile in profiles),
            own_words=all(profile.own_words for profile in profiles),
        )

    async def stream(self, messages: Sequence[ChatMessage], *, max_tokens: int) -> AsyncGenerator[ChatDelta, None]:
        """Stream one answer; raises the last model's error when all of them failed. See `ChatModel.stream`."""
        *others, last = self._models
        for model in others:
            begun = False
            try:
                async with aclosing(model.stream(messages, max_tokens=max_tokens)) as deltas:
                    async for delta in deltas:
                        begun = begun or bool(delta.text)
                        yield delta
            except ProviderError as error:
                if begun:
                    raise
                log.warning("chat_model.failed", model=model.profile.name, code=error.code, error=error.message)
            else:
                return
        async with aclosing(last.stream(messages, max_tokens=max_tokens)) as deltas:
            async for delta in deltas:
                yield delta

    async def close(self) -> None:
        """Release what the models hold."""
        for model in self._models:
            await model.close()
