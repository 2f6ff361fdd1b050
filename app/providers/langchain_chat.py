"""LangChain chat model: every provider that `init_chat_model` knows, behind our port."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from app.domain.conversation import ChatMessage
from app.domain.errors import ProviderError
from app.domain.ports import ChatDelta, ChatModelProfile
from app.providers.resilience import Endpoint
from app.providers.thoughts import WithoutThoughts
from app.providers.well_formed import WellFormed

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessageChunk
    from langchain_core.messages.ai import UsageMetadata

# How the providers say that the answer was cut at max_tokens.
_LENGTH = frozenset({"length", "max_tokens", "max_output_tokens", "model_length", "MAX_TOKENS"})
# How they say that they, or a filter of theirs, withheld the answer or the rest of it.
_WITHHELD = frozenset(
    {"content_filter", "content_filtered", "guardrail_intervened", "refusal"}
    | {"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"}
)
_REASON_KEYS = ("finish_reason", "stop_reason", "done_reason", "stopReason")

CANCEL_AGAIN_S = 1.0  # a provider's package that has not ended by then has swallowed it

CallOptions = Callable[[int], dict[str, Any]]
"""The keyword arguments of one call that may write so many tokens."""


class LangChainChatModel:
    """A LangChain chat model; `timeout_s` is the longest silence before or within an answer."""

    def __init__(
        self,
        model: "BaseChatModel",
        profile: ChatModelProfile,
        endpoint: Endpoint,
        *,
        timeout_s: float,
        call_options: CallOptions,
        close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._model = model
        self._profile = profile
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._call_options = call_options
        self._close = close

    @property
    def profile(self) -> ChatModelProfile:
        """What the answering service must know of it."""
        return self._profile

    async def stream(self, messages: Sequence[ChatMessage], *, max_tokens: int) -> AsyncGenerator[ChatDelta, None]:
        """Stream one answer; see `ChatModel.stream`."""
        # A task of its own reads the provider: cancelling it raises inside the pending read, which closes the HTTP
        # connection there and then. Closing LangChain's generator instead would leave the generators within it, and
        # with them the connection, to the garbage collector. The queue is bounded by max_tokens.
        chunks: asyncio.Queue[AIMessageChunk | ProviderError | None] = asyncio.Queue()
        reader = asyncio.create_task(self._read(messages, max_tokens, chunks))
        try:
            ending, text, answer = _Ending(), WellFormed(), WithoutThoughts()
            while (chunk := await self._next(chunks)) is not None:
                ending.see(chunk)
                if piece := answer.feed(text.feed(str(chunk.text))):
                    yield ChatDelta(piece)
            if rest := answer.feed(text.flush()) + answer.flush():
                yield ChatDelta(rest)
            if ending.finish_reason is None:
                raise self._endpoint.broke_off()
            if ending.withheld:
                raise self._endpoint.withheld(ending.withheld)
            yield ending.delta()
        finally:
            while not reader.done():
                reader.cancel()
                await asyncio.wait([reader], timeout=CANCEL_AGAIN_S)

    async def close(self) -> None:
        """Close the connections that are kept open."""
        if self._close:
            await self._close()

    async def _next(self, chunks: "asyncio.Queue[AIMessageChunk | ProviderError | None]") -> "AIMessageChunk | None":
        try:
            async with asyncio.timeout(self._timeout_s):
                chunk = await chunks.get()
        except TimeoutError as error:
            raise self._endpoint.timed_out() from error
        if isinstance(chunk, ProviderError):
            raise chunk
        return chunk

    async def _read(
        self,
        messages: Sequence[ChatMessage],
        max_tokens: int,
        chunks: "asyncio.Queue[AIMessageChunk | ProviderError | None]",
    ) -> None:
        prompt = [(message.role, message.content) for message in messages]
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - this is one
        begun = False
        try:
            async for chunk in self._model.astream(prompt, **self._call_options(max_tokens)):
                begun = True
                if task.cancelling():
                    # asyncio.wait_for, within, swallows a cancellation that comes with a piece (before Python 3.12):
                    # without this the provider would be read, and paid, to the end of the answer
                    task.cancel()
                chunks.put_nowait(chunk)
            chunks.put_nowait(None)
        except Exception as error:  # noqa: BLE001 - the task's edge: whatever a provider's package raises is its failure
            # LangChain's way to say that what came was no stream, or not of JSON
            unlike = not begun and isinstance(error, ValueError)
            failure = self._endpoint.unlike(str(error)) if unlike else self._endpoint.failure(error)
            failure.__cause__ = error
            chunks.put_nowait(failure)


class _Ending:
    """Token counts and the finish reason, gathered from wherever in the stream a provider puts them."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.withheld: str | None = None
        self._usage: UsageMetadata | None = None

    def see(self, chunk: "AIMessageChunk") -> None:
        from langchain_core.messages.ai import add_usage  # noqa: PLC0415 - loaded with the provider's package

        if chunk.usage_metadata:
            # a prompt that is counted once more comes with a count of all that there is so far
            earlier = None if chunk.usage_metadata["input_tokens"] else self._usage
            self._usage = add_usage(earlier, chunk.usage_metadata)
        metadata = chunk.response_metadata
        reason = next((metadata[key] for key in _REASON_KEYS if metadata.get(key)), None)
        if reason is None and metadata.get("status") in {"completed", "incomplete"}:  # OpenAI's Responses protocol
            reason = (metadata.get("incomplete_details") or {}).get("reason", "stop")
        if reason is not None:
            self.finish_reason = "length" if reason in _LENGTH else "stop"
            self.withheld = reason if reason in _WITHHELD else None

    def delta(self) -> ChatDelta:
        usage = self._usage
        return ChatDelta(
            prompt_tokens=usage["input_tokens"] if usage else None,
            completion_tokens=usage["output_tokens"] if usage else None,
            finish_reason=self.finish_reason,
        )
