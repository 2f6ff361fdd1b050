"""Local chat model: a GGUF file through llama.cpp, in a process of its own."""

import asyncio
import math
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from app.domain.conversation import ChatMessage
from app.domain.errors import ConfigurationError, ProviderError, ProviderRejected, ProviderUnavailable
from app.domain.ports import ChatDelta, ChatModelProfile
from app.providers.llama_process import LlamaProcess
from app.providers.thoughts import WithoutThoughts

# Chat templates mark turns with tokens such as <|im_end|>; in a message they must stay text, or a passage could
# speak with the system's voice.
_CONTROL_TOKEN = re.compile(r"<(\|[^|<>\s]{1,40}\|)>")

OWN_WORDS_BYTES = 2 * 1024**3
"""A model in a smaller file puts the right words together into wrong statements too often (docs/decisions/0027)."""


class LocalChatModel:
    """A model that runs on this machine, one answer at a time, others waiting in order.

    Loading starts at once and in the background; `ready()` or the first stream waits for it. When the process dies
    (memory, a damaged file) its streams fail with ProviderUnavailable and the next stream starts it again.
    """

    def __init__(
        self, path: Path, *, name: str, context_tokens: int, threads: int, prompt_threads: int, small: bool = False
    ) -> None:
        own_words = path.is_file() and path.stat().st_size >= OWN_WORDS_BYTES
        self._profile = ChatModelProfile(name, context_tokens, small, own_words)
        self._options = {
            "path": str(path),
            "context_tokens": context_tokens,
            "threads": threads,
            "prompt_threads": prompt_threads,
        }
        self._process = LlamaProcess(self._options)
        self._closed = False

    @property
    def profile(self) -> ChatModelProfile:
        """`small` is true for the packaged model alone, `own_words` for files of about three billion parameters on."""
        return self._profile

    async def ready(self) -> None:
        """Wait until the model is loaded. Raises ConfigurationError when it cannot be."""
        failure = await self._process.wait_loaded()
        if failure:
            raise ConfigurationError(failure)

    async def stream(self, messages: Sequence[ChatMessage], *, max_tokens: int) -> AsyncGenerator[ChatDelta, None]:
        """Stream one answer; see `ChatModel.stream`. A prompt that does not fit raises ProviderRejected."""
        finish_reason, answer = "stop", WithoutThoughts()
        async with aclosing(self._chunks(_body(messages, max_tokens))) as chunks:
            async for chunk in chunks:
                for choice in chunk["choices"]:
                    finish_reason = choice["finish_reason"] or finish_reason
                    if text := answer.feed((choice["delta"].get("content") or "").replace("\0", "")):
                        yield ChatDelta(text)
                if chunk.get("usage") and (rest := answer.flush()):
                    yield ChatDelta(rest)
                if usage := chunk.get("usage"):
                    yield ChatDelta("", usage["prompt_tokens"], usage["completion_tokens"], _normalised(finish_reason))

    async def first_tokens(self, messages: Sequence[ChatMessage], count: int) -> dict[str, float]:
        """The `count` likeliest first tokens of an answer, with their probabilities. Raises ProviderError."""
        found: dict[str, float] = {}
        body = _body(messages, max_tokens=1) | {"logprobs": True, "top_logprobs": count}
        async with aclosing(self._chunks(body)) as chunks:
            async for chunk in chunks:
                for choice in chunk["choices"]:
                    for position in (choice.get("logprobs") or {}).get("content", ())[:1]:
                        for top in position["top_logprobs"]:
                            found[top["token"]] = found.get(top["token"], 0.0) + math.exp(top["logprob"])
        return found

    async def _chunks(self, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """The replies to a request, which ends when the generator is closed."""
        if self._closed:
            raise ProviderUnavailable("The local model was shut down.")
        if self._process.ended:
            self._process = LlamaProcess(self._options)
        process = self._process
        failure = await process.wait_loaded()
        if failure:
            raise ProviderUnavailable(failure)
        request = process.start(body)
        try:
            while (chunk := await request.next_chunk()) is not None:
                if "error" in chunk:
                    raise self._refusal(chunk["error"])
                yield chunk
        finally:
            await process.finish(request)

    async def close(self) -> None:
        """End the process and free its memory; open streams fail with ProviderUnavailable."""
        self._closed = True
        await asyncio.to_thread(self._process.stop)

    def _refusal(self, error: dict[str, Any]) -> ProviderError:
        if error.get("type") == "exceed_context_size_error":
            return ProviderRejected(
                f"The prompt has {error['n_prompt_tokens']} tokens, {self._profile.name} takes {error['n_ctx']}: "
                "ask a shorter question, start a new conversation, or raise FOOTNOTE_CHAT_CONTEXT_TOKENS."
            )
        if 400 <= error.get("code", 500) < 500:
            return ProviderRejected(f"The local model refused the request: {error.get('message')}")
        return ProviderUnavailable(f"The local model failed: {error.get('message')}")


def _body(messages: Sequence[ChatMessage], max_tokens: int) -> dict[str, Any]:
    """The request in OpenAI's form, with llama.cpp's additions."""
    return {
        "messages": [{"role": m.role, "content": _CONTROL_TOKEN.sub(r"< \1 >", m.content)} for m in messages],
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_progress": True,  # a reply after each batch of the prompt, so that a stop is noticed there too
        "chat_template_kwargs": {"enable_thinking": False},  # a reasoning model would think its tokens away
    }


def _normalised(finish_reason: str) -> str:
    return "length" if finish_reason == "length" else "stop"
