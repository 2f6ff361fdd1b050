"""Answering: condense, retrieve, pack, prompt, stream, attribute."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from time import perf_counter, time_ns
from typing import Any
from uuid import UUID

from msgspec import UNSET

from app.domain.conversation import ChatMessage
from app.domain.errors import ProviderError, ProviderRejected, ProviderUnavailable
from app.domain.filter import Filter
from app.domain.passage import Passage
from app.domain.ports import ChatModel, TokenCounter
from app.domain.principal import Principal
from app.domain.prompt import Prompt
from app.domain.run import FinishReason, RetrievalCompleted, RunCompleted, RunEvent, TextDelta, Usage
from app.services.context import format_passages, pack
from app.services.evidence import EvidenceGate, unmentioned
from app.services.footnoting import Footnoting
from app.services.memory import Memory
from app.services.quoting import quote_passages
from app.services.retrieval import Retrieval, SearchRequest
from app.services.understanding import Understanding, ask_what_is_meant
from app.telemetry import TRACER, span_between

HISTORY_MESSAGES = 60  # of a stored conversation, the last ones
SMALL_PASSAGES = 3
SMALL_PASSAGE_TOKENS = 450
SMALL_ANSWER_TOKENS = 120
MARGIN_TOKENS = 64  # other tokenizers count a little differently


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and within what.

    `thread` is a conversation by the name that a client gave it. `history` is what was said before, where the client
    brings it along; without one it is what the conversation holds. `background`: nobody need read the answer while it
    is written. `forgets_after`: the conversation's messages after this one are deleted once the question is taken; with
    a UUID of zeros all are. `goes_on_after`: the message that it follows; where the conversation has gone on since, a
    new one begins with a copy of what was said up to there. `request`: what its protocol repeats of the request later.
    """

    text: str
    conversation_id: UUID | None = None
    collection: str | None = None
    filter: Filter | None = None
    thread: str | None = None
    history: tuple[ChatMessage, ...] = ()
    background: bool = False
    forgets_after: UUID | None = None
    goes_on_after: UUID | None = None
    request: dict[str, Any] | None = None

    @property
    def continues(self) -> bool:
        """Whether it may belong to a conversation that has begun."""
        return self.conversation_id is not None or self.thread is not None


@dataclass(slots=True)
class Provenance:
    """How an answer came about; filled while it is written."""

    prompt: str | None = None
    generation_id: int | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)
    _started: float = field(default_factory=perf_counter)

    def mark(self, stage: str) -> None:
        """Note the milliseconds from the start to the first time that `stage` was reached."""
        self.timings_ms.setdefault(stage, round((perf_counter() - self._started) * 1000, 1))


@dataclass(frozen=True, slots=True)
class Prompts:
    """The prompts that answering uses."""

    answer: Prompt
    answer_small: Prompt
    condense: Prompt
    summary: Prompt


@dataclass(frozen=True, slots=True)
class AnsweringOptions:
    """`history_tokens`: most tokens of earlier messages in a prompt; what does not fit is summarised.

    `withhold`: sentences without support are not shown; None: only for a small model. `own_words`: whether what is
    shown then may be said in the model's own words; None: as its profile has it.
    """

    max_tokens: int
    history_tokens: int
    passages: int
    withhold: bool | None
    own_words: bool | None = None


class Answering:
    """Answers one question as a sequence of events; knows nothing of logs, clients or storage of messages."""

    def __init__(
        self,
        retrieval: Retrieval,
        gate: EvidenceGate,
        model: ChatModel,
        prompts: Prompts,
        count_tokens: TokenCounter,
        options: AnsweringOptions,
    ) -> None:
        self._retrieval = retrieval
        self._gate = gate
        self._model = model
        self._prompts = prompts
        self._memory = Memory(model, prompts.summary, count_tokens, budget_tokens=options.history_tokens)
        self._understand = Understanding(model, prompts.condense)
        self._count = count_tokens
        self._options = options

    async def answer(
        self, principal: Principal, question: Question, history: Sequence[ChatMessage], provenance: Provenance
    ) -> AsyncGenerator[RunEvent, None]:
        """Yield the answer's events; the last is RunCompleted. Closing the generator ends the model's work upstream.

        Raises what retrieval and the model raise; what was yielded before stands.
        """
        with TRACER.start_as_current_span("condense"):
            said = await self._memory.recall(history)
            understood = await self._understand(question.text, said)
        provenance.mark("condensed")
        if understood.ask_back:
            yield RetrievalCompleted(())
            yield TextDelta(understood.ask_back)
            yield RunCompleted("clarify")
            return
        query = understood.query
        k = self._options.passages * 2
        request = SearchRequest(query, k, question.collection, question.filter, phrases="preferred")
        with TRACER.start_as_current_span("retrieve"):
            ranked = await self._retrieval.ranked(principal, request)
        found, reranked = ranked.passages, UNSET if ranked.applied is None else ranked.applied
        generation = await self._retrieval.generation()
        provenance.generation_id = generation.id if generation else None
        provenance.mark("retrieved")
        with TRACER.start_as_current_span("evidence"):
            worth_it = await self._gate.opens(query, found)
        if not worth_it:
            yield RetrievalCompleted(tuple(found[: self._options.passages]), reranked)
            ask_back = ask_what_is_meant(question.text, said)
            yield TextDelta(ask_back or _refusal(question.collection, query, found))
            yield RunCompleted("clarify" if ask_back else "refused")
            return
        with TRACER.start_as_current_span("prompt"):
            transcript = said.transcript if understood.goes_on else ""
            passages, messages = self._prompt(question.text, transcript, found, provenance)
        yield RetrievalCompleted(tuple(passages), reranked)
        async with aclosing(self._stream(question, query, passages, messages, provenance)) as events:
            async for event in events:
                yield event

    def _prompt(
        self, question: str, transcript: str, found: Sequence[Passage], provenance: Provenance
    ) -> tuple[list[Passage], list[ChatMessage]]:
        """The passages that fit beside everything else, and the messages that carry them."""
        profile = self._model.profile
        prompt = self._prompts.answer_small if profile.small else self._prompts.answer
        provenance.prompt = prompt.reference
        history = "" if profile.small else transcript
        frame = "".join(prompt.render(passages="", question=question, history=history))
        budget = self._room(frame, found)
        limit = self._options.passages
        if profile.small:
            budget, limit = min(budget, SMALL_PASSAGE_TOKENS), min(limit, SMALL_PASSAGES)
        passages = pack(found, budget_tokens=max(budget, 0), count_tokens=self._count, limit=limit)
        # a small model heeds what it read last
        shown = passages[::-1] if profile.small else passages
        return passages, prompt.messages(passages=format_passages(shown), question=question, history=history)

    def _room(self, frame: str, found: Sequence[Passage]) -> int:
        """Tokens that are left for passages beside the frame; too few by some where all of them fit anyway."""
        room = self._model.profile.context_tokens - self._max_tokens - MARGIN_TOKENS
        # a token has a byte at least, and counting takes milliseconds that stand before the first word
        at_least = room - len(frame.encode())
        return at_least if len(format_passages(found).encode()) <= at_least else room - self._count(frame)

    @property
    def _max_tokens(self) -> int:
        small = self._model.profile.small
        return min(self._options.max_tokens, SMALL_ANSWER_TOKENS) if small else self._options.max_tokens

    async def _stream(
        self,
        question: Question,
        query: str,
        passages: list[Passage],
        messages: list[ChatMessage],
        provenance: Provenance,
    ) -> AsyncGenerator[RunEvent, None]:
        profile, options = self._model.profile, self._options
        withhold = profile.small if options.withhold is None else options.withhold
        own_words = profile.own_words if options.own_words is None else options.own_words
        footnoting = Footnoting(passages, query, withhold=withhold, verbatim=not own_words)
        usage, finish_reason, began, first = Usage(0, 0), "stop", time_ns(), 0
        async with aclosing(self._model.stream(messages, max_tokens=self._max_tokens)) as deltas:
            async for delta in deltas:
                if delta.text:
                    provenance.mark("first_token")
                    first = first or time_ns()
                for event in footnoting.feed(delta.text):
                    yield event
                if delta.completion_tokens is not None:
                    usage = Usage(delta.prompt_tokens or 0, delta.completion_tokens)
                finish_reason = delta.finish_reason or finish_reason
                if footnoting.loops:
                    usage = usage if usage.completion_tokens else self._counted(messages, footnoting.written)
                    finish_reason = "stop"
                    break
        if not (withhold or footnoting.written.strip()):
            raise self._said_nothing(finish_reason)
        provenance.mark("last_token")
        last = time_ns()
        span_between("first token", began, first or last)
        span_between("stream", first or last, last)
        for event in footnoting.flush(cut_off=finish_reason == "length"):
            yield event
        declined = footnoting.declined and not profile.small  # what a small one says of itself is chance
        if withhold and not footnoting.text:
            nothing = [TextDelta(_refusal(question.collection, query, passages))]
            for event in nothing if declined else quote_passages(passages, query):
                yield event
            finish_reason = "stop"
        provenance.mark("attributed")
        span_between("attribute", last, time_ns())
        yield usage
        yield RunCompleted("refused" if declined else _finish_reason(finish_reason))

    def _said_nothing(self, finish_reason: str) -> ProviderError:
        """An empty answer is none; the reader is told, and whoever chose the model."""
        name = self._model.profile.name
        if finish_reason == "length":
            return ProviderRejected(
                f"{name} used its {self._max_tokens} tokens before it came to an answer, as models do that think "
                "first: raise FOOTNOTE_CHAT_MAX_TOKENS, or choose one that does not."
            )
        return ProviderUnavailable(f"{name} gave an empty answer; ask again, or choose another model.")

    def _counted(self, messages: Sequence[ChatMessage], written: str) -> Usage:
        """What a model has read and written that was stopped before it told."""
        return Usage(sum(self._count(message.content) for message in messages), self._count(written))


def _finish_reason(reason: str) -> FinishReason:
    return "length" if reason == "length" else "stop"


def _refusal(collection: str | None, query: str, nearest: Sequence[Passage]) -> str:
    where = f"the collection “{collection}”" if collection else "all collections"
    if not nearest:
        return f"I searched {where} and found nothing to answer from. Ingest documents with `footnote ingest PATH`."
    titles = list(dict.fromkeys(passage.title for passage in nearest))[:3]
    missing = ", ".join(f"“{word}”" for word in unmentioned(query, nearest)[:3])
    return (
        f"I searched {where} and found nothing that answers this. The nearest documents are: "
        + "; ".join(titles)
        + (f". None of them mentions {missing}" if missing else "")
        + ". Try asking with the words that the documents use."
    )
