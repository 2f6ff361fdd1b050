"""Fakes: a deterministic chat model and embedder, for tests, load tests and drills."""

import asyncio
import hashlib
import itertools
import os
import re
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from app.domain.conversation import ChatMessage
from app.domain.errors import ProviderUnavailable
from app.domain.ports import ChatDelta, ChatModelProfile, Vectors

_PASSAGE = re.compile(r"<passage\b[^>]*>(.*?)</passage>", re.DOTALL)
_FIRST_SENTENCE = re.compile(r"\s*(\S.*?(?:[.!?](?=\s|$)|$))", re.DOTALL)
_DIRECTIVE = re.compile(r"\[\[([a-z-]+)(?:=(.*?))?\]\]", re.DOTALL)
_BREAK_ONCE = re.compile(r"\[\[break-once=(\d+)\]\]")
_CONVERSATION = "<conversation>"
_PIECE = re.compile(r"<title>(.*?)</title>.*<piece>(.*?)</piece>", re.DOTALL)
_PASSAGES_QUOTED = 3
_SLEEPLESS_TOKENS_PER_S = 10_000


class ScriptedChatModel:
    """A model that answers from its prompt alone, a word at a time, `tokens_per_s` words a second.

    It answers with the first sentences of the passages it was given, so that its sentences have support; a prompt
    without passages is answered with its last line, and a request to rewrite a question (a prompt with a
    `<conversation>`) with the question as it was, one for the context of a `<piece>` with the document's title.
    Directives in the question, or in the piece, steer it:

        [[say=TEXT]]       answer TEXT
        [[tokens=N]]       answer with N words, by repeating the answer or cutting it
        [[fail-first]]     fail before the first word
        [[fail-after=N]]   fail after N words, or at the end of a shorter answer
        [[break-once=N]]   fail after N words the first time that this is asked
        [[differ]]         begin with other words at each writing, in each process

    Speeds above 10,000 words a second do not sleep at all. The counters are for tests; `asked` counts the prompts.
    """

    def __init__(self, tokens_per_s: float = 1e9, context_tokens: int = 16_384) -> None:
        self._delay_s = 1 / tokens_per_s if tokens_per_s < _SLEEPLESS_TOKENS_PER_S else 0.0
        self._profile = ChatModelProfile("scripted", context_tokens)
        self._writings: Counter[str] = Counter()
        self.asked = 0
        self.tokens_generated = 0
        self.open_streams = 0
        self.closed_early = 0

    @property
    def profile(self) -> ChatModelProfile:
        """Of a model that may use its own words."""
        return self._profile

    async def stream(self, messages: Sequence[ChatMessage], *, max_tokens: int) -> AsyncGenerator[ChatDelta, None]:
        """Stream one answer; see `ChatModel.stream`."""
        self.asked += 1
        prompt = messages[-1].content
        words, fail_after = _script(prompt)
        writing = self._writings[prompt] = self._writings[prompt] + 1
        once = _BREAK_ONCE.search(prompt)
        if once and writing == 1:
            fail_after = int(once[1])
        if "[[differ]]" in prompt:
            words = [f"Writing {writing} of process {os.getpid()}:", *words]
        written = 0
        with self._counted():
            loop = asyncio.get_running_loop()
            due = loop.time()
            for word in words[:max_tokens]:
                due += self._delay_s
                await asyncio.sleep(max(0.0, due - loop.time()))
                if written == fail_after:
                    break
                written += 1
                self.tokens_generated += 1
                yield ChatDelta(word)
            if fail_after is not None and fail_after <= written:
                raise ProviderUnavailable("The scripted model failed, as the question told it to.")
            prompt_tokens = sum(len(message.content.split()) for message in messages)
            finish_reason = "length" if len(words) > max_tokens else "stop"
            yield ChatDelta("", prompt_tokens, written, finish_reason)

    async def close(self) -> None:
        """Nothing is held."""

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self.open_streams += 1
        try:
            yield
        except (GeneratorExit, asyncio.CancelledError):
            self.closed_early += 1
            raise
        finally:
            self.open_streams -= 1


def _script(prompt: str) -> tuple[list[str], int | None]:
    """The words to answer with, and after how many to fail."""
    passages = _PASSAGE.findall(prompt)
    piece = _PIECE.search(prompt)
    question = piece[2] if piece else prompt.rpartition("</passage>")[2].strip()
    if _CONVERSATION in prompt:
        return _words(_last_line(question)), None
    directives = dict(_DIRECTIVE.findall(question))
    answer = (
        directives.get("say")
        or (f"This is from {piece[1]}." if piece else _quoted(passages))
        or _last_line(_DIRECTIVE.sub("", question))
        or "Nothing."
    )
    words = _words(answer)
    length = _number(directives.get("tokens"))
    if length is not None:
        words = _words("".join(itertools.islice(itertools.cycle(f"{word.strip()} " for word in words), length)))
    fail_after = 0 if "fail-first" in directives else _number(directives.get("fail-after"))
    return words, None if fail_after is None else min(fail_after, len(words))


def _number(value: str | None) -> int | None:
    return int(value) if value and value.isdecimal() else None


def _quoted(passages: Sequence[str]) -> str:
    """The first sentences of the first passages."""
    firsts = (_FIRST_SENTENCE.match(passage) for passage in passages[:_PASSAGES_QUOTED])
    return " ".join(" ".join(first[1].split()) for first in firsts if first)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].removeprefix("Question:").strip() if lines else ""


def _words(text: str) -> list[str]:
    """The words with the space before them, so that joined they are the text."""
    return re.findall(r"\s*\S+", text)


class HashEmbedder:
    """Hashed bags of words: texts that share words are near each other, and nothing is learned.

    Each word adds one to the dimension that its hash names, with a sign from the hash, so that unrelated texts are
    about orthogonal (Weinberger et al. 2009, "Feature Hashing for Large Scale Multitask Learning").
    """

    def __init__(self, dimensions: int = 64) -> None:
        self._dimensions = dimensions

    @property
    def name(self) -> str:
        """The identity that an index generation stores."""
        return "scripted:hash"

    @property
    def dimensions(self) -> int:
        """The length of each vector."""
        return self._dimensions

    async def embed_query(self, text: str) -> Vectors:
        """One question, shape (1, dimensions)."""
        return await self.embed_passages([text])

    async def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """Passages in their order, shape (len(texts), dimensions)."""
        vectors = np.zeros((len(texts), self._dimensions), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in re.findall(r"\w+", text.lower()):
                number = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
                row[(number >> 1) % self._dimensions] += 1 if number & 1 else -1
            if not row.any():
                row[0] = 1
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    async def close(self) -> None:
        """Nothing is held."""
