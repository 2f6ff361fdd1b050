"""Memory: what was said before, within a budget: the last messages as they are, a summary of those before them."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from app.domain.conversation import ChatMessage
from app.domain.errors import ProviderError
from app.domain.ports import ChatModel, TokenCounter
from app.domain.prompt import Prompt
from app.services.completion import complete

MESSAGE_CHARS = 2000  # of each message that is kept
SUMMARISED_CHARS = 500  # of each message that is summarised
SUMMARISED_AT_ONCE = 40  # of more than so many messages, the first and the last half of this number
SUMMARY_TOKENS = 150
STEP = 4  # messages are dropped by so many, so that most turns find the summary of the turn before
_ALWAYS_KEPT = 2
_REMEMBERED = 256

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Recalled:
    """What a prompt is told of a conversation: `summary` of its beginning (or nothing) and its last messages."""

    messages: tuple[ChatMessage, ...] = ()
    summary: str = ""

    @property
    def transcript(self) -> str:
        """Both as lines, the oldest first."""
        beginning = [f"summary of what was said before: {self.summary}"] if self.summary else []
        return "\n".join(beginning + [_line(message, MESSAGE_CHARS) for message in self.messages])

    @property
    def last_question(self) -> str:
        """What was asked last, or nothing."""
        return next((m.content for m in reversed(self.messages) if m.role == "user"), "")

    @property
    def asked_back(self) -> bool:
        """Whether the last answer was a question."""
        said = [message.content for message in self.messages if message.role == "assistant"]
        return bool(said) and said[-1].rstrip().endswith(("?", "？"))


class Memory:
    """Recalls conversations; summaries are kept in this process, the latest ones of all conversations."""

    def __init__(self, model: ChatModel, prompt: Prompt, count_tokens: TokenCounter, *, budget_tokens: int) -> None:
        self._model = model
        self._prompt = prompt
        self._count = count_tokens
        self._budget = budget_tokens
        self._summaries: OrderedDict[bytes, str] = OrderedDict()

    async def recall(self, messages: Sequence[ChatMessage]) -> Recalled:
        """The last messages that fit, at least the last question and its answer, and a summary of those before.

        A small model gets no summary. One that cannot be had is left out, and the log says why.
        """
        said = [message for message in messages if message.content.strip()]
        dropped = self._dropped(said)
        summary = ""
        if dropped and not self._model.profile.small:
            try:
                summary = await self._summary(said[:dropped])
            except ProviderError as error:
                log.warning("history.not_summarised", reason=error.message, messages=dropped)
        return Recalled(tuple(said[dropped:]), summary)

    def _dropped(self, said: Sequence[ChatMessage]) -> int:
        """How many from the beginning do not fit, rounded up to a multiple of STEP; the last two are always kept."""
        lines = [_line(message, MESSAGE_CHARS) for message in said]
        if sum(len(line.encode()) for line in lines) <= self._budget:  # a token has a byte at least
            return 0
        room, kept = self._budget, 0
        for line in reversed(lines):
            room -= self._count(line)
            if room < 0 and kept >= _ALWAYS_KEPT:
                break
            kept += 1
        steps = -(-(len(said) - kept) // STEP)
        return min(steps * STEP, max(len(said) - _ALWAYS_KEPT, 0))

    async def _summary(self, messages: Sequence[ChatMessage]) -> str:
        """Of these messages, from the summary of most of them where there is one."""
        keys = _prefix_keys(messages)
        known = next((end for end in range(len(messages), 0, -1) if keys[end - 1] in self._summaries), 0)
        if known:
            self._summaries.move_to_end(keys[known - 1])
        before = self._summaries[keys[known - 1]] if known else ""
        if known == len(messages):
            return before
        new = messages[known:]
        if len(new) > SUMMARISED_AT_ONCE:
            new = [*new[: SUMMARISED_AT_ONCE // 2], *new[-SUMMARISED_AT_ONCE // 2 :]]
        asked = self._prompt.messages(
            summary=before, history="\n".join(_line(message, SUMMARISED_CHARS) for message in new)
        )
        summary = await complete(self._model, asked, max_tokens=SUMMARY_TOKENS)
        self._summaries[keys[-1]] = summary
        while len(self._summaries) > _REMEMBERED:
            self._summaries.popitem(last=False)
        return summary


def _line(message: ChatMessage, chars: int) -> str:
    return f"{message.role}: {' '.join(message.content.split())[:chars]}"


def _prefix_keys(messages: Sequence[ChatMessage]) -> list[bytes]:
    """A hash of the messages up to each of them."""
    running, keys = hashlib.sha256(), []
    for message in messages:
        running.update(f"{message.role}\0{message.content}\0".encode())
        keys.append(running.digest())
    return keys
