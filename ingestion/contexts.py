"""Contexts: lines from the language model that situate chunks in their documents, written before these are embedded."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from uuid import UUID

from app.domain.document import Chunk
from app.domain.errors import ConfigurationError
from app.domain.ports import ChatDelta, ChatModel
from app.domain.prompt import Prompt
from app.providers.chat_model import make_chat_model
from app.providers.prompt_files import PromptFiles
from app.providers.tokenizer import count_tokens
from app.settings import Settings
from app.storage.context_cache import ContextCache, ContextKey
from app.storage.engine import Database
from ingestion.context_prompt import REPLY_TOKENS, Outline, Question, Questions, one_line

AT_ONCE = 4  # questions that the model is asked at a time
_TOGETHER = 256  # chunks whose prompts are held at a time


class ContextModel:
    """The language model of the settings and the prompt for contexts, made when first needed; a context manager."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._made: tuple[ChatModel, Prompt] | None = None

    def ready(self) -> tuple[ChatModel, Prompt]:
        """Raises UnknownModel, MissingKey, ConfigurationError."""
        if self._made is None:
            if self._settings.chat_model == "extractive":
                raise ConfigurationError(
                    "`extractive` only copies passages; contexts take a language model: set FOOTNOTE_CHAT_MODEL, or "
                    "turn them off with `footnote context COLLECTION --off`."
                )
            prompt = PromptFiles(self._settings.prompts_dir).active("context")
            # the first model alone: a context is kept under the name of the model that wrote it
            self._made = make_chat_model(self._settings.model_copy(update={"chat_models": ()})), prompt
        return self._made

    async def __aenter__(self) -> "ContextModel":
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._made is not None:
            await self._made[0].close()


class Contexts:
    """Gives chunks of one collection's documents their contexts, each written once.

    `written` contexts were asked of the model, for `prompt_tokens` and `answer_tokens`; `empty` of these had no words.
    """

    def __init__(
        self, database: Database, workspace_id: UUID, collection_id: UUID, model: ChatModel, prompt: Prompt
    ) -> None:
        """Raises ConfigurationError when the model has no room for the prompt."""
        self._cache = ContextCache(database, workspace_id, collection_id)
        self._model = model
        self._questions = Questions(prompt, model.profile)
        self._asking = asyncio.Semaphore(AT_ONCE)
        self.written = 0
        self.empty = 0
        self.prompt_tokens = 0
        self.answer_tokens = 0

    @property
    def model(self) -> str:
        """The name of the model."""
        return self._model.profile.name

    async def of(
        self, chunks: Sequence[tuple[Outline, int]], progress: Callable[[], None] = lambda: None
    ) -> list[Chunk]:
        """The chunks at these places of documents, with their contexts; `progress` is called for each that is written.

        What the model writes is kept at once, so that when the rest fails at most the AT_ONCE that were under way are
        lost. Raises DatabaseUnavailable, ProviderError.
        """
        situated = list[Chunk]()
        for start in range(0, len(chunks), _TOGETHER):
            situated += await self._of(chunks[start : start + _TOGETHER], progress)
        return situated

    async def _of(self, chunks: Sequence[tuple[Outline, int]], progress: Callable[[], None]) -> list[Chunk]:
        questions = [self._questions.ask(outline, at) for outline, at in chunks]
        found, elsewhere, missing = await self._look_up(questions)
        if elsewhere:
            await self._cache.keep({key: found[key] for key in elsewhere})
        try:
            async with asyncio.TaskGroup() as tasks:
                for question in missing:
                    tasks.create_task(self._write(question, found, progress))
        except ExceptionGroup as group:  # the first fault ended the others; it is the one to tell
            raise group.exceptions[0] from group
        by_key = {(key.uri, key.key): context for key, context in found.items()}
        return [
            replace(outline.chunks[at], context=by_key[question.key.uri, question.key.key])
            for (outline, at), question in zip(chunks, questions, strict=True)
        ]

    async def missing(self, chunks: Sequence[tuple[Outline, int]]) -> list[Question]:
        """What the model would have to be asked for these chunks; asks nothing."""
        missing = list[Question]()
        for start in range(0, len(chunks), _TOGETHER):
            questions = [self._questions.ask(outline, at) for outline, at in chunks[start : start + _TOGETHER]]
            missing += (await self._look_up(questions))[2]
        return missing

    async def _look_up(
        self, questions: Sequence[Question]
    ) -> tuple[dict[ContextKey, str], set[ContextKey], list[Question]]:
        """Contexts written before, which of them for other documents only, and the questions without one, each once."""
        unique = {(question.key.uri, question.key.key): question for question in questions}
        found, elsewhere = await self._cache.find([question.key for question in unique.values()])
        return found, elsewhere, [question for question in unique.values() if question.key not in found]

    async def _write(self, question: Question, found: dict[ContextKey, str], progress: Callable[[], None]) -> None:
        async with self._asking:  # until it is kept, so that no more than these can be lost
            written = await write_context(self._model, question)
            await self._cache.keep({question.key: written.context})
        found[question.key] = written.context
        self.written += 1
        self.empty += not written.context
        self.prompt_tokens += written.prompt_tokens
        self.answer_tokens += written.answer_tokens
        progress()


@dataclass(frozen=True, slots=True)
class Written:
    """A context, empty when the reply had no words, and the tokens that it took."""

    context: str
    prompt_tokens: int
    answer_tokens: int


async def write_context(model: ChatModel, question: Question) -> Written:
    """Ask for one context; tokens as the model counts them, or by our own count. Raises ProviderError."""
    reply, last = "", ChatDelta()
    async with aclosing(model.stream(question.messages, max_tokens=REPLY_TOKENS)) as deltas:
        async for delta in deltas:
            reply, last = reply + delta.text, delta
    return Written(
        one_line(reply, cut_off=last.finish_reason == "length"),
        question.tokens if last.prompt_tokens is None else last.prompt_tokens,
        count_tokens(reply) if last.completion_tokens is None else last.completion_tokens,
    )
