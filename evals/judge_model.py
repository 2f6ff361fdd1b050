"""Judge model: a chat model that gives verdicts with quotes, asked several times, its replies kept."""

import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import permutations
from pathlib import Path

import msgspec

from app.domain.conversation import ChatMessage
from app.domain.errors import ConfigurationError
from app.domain.ports import ChatModel
from app.domain.prompt import Prompt
from app.providers.chat_model import make_chat_model
from app.providers.prompt_files import PromptFiles
from app.settings import Settings

MOST_REPEATS = 6  # as many orders as three verdicts have
_REPLY_TOKENS = 150
_QUOTE = re.compile(r"QUOTE:\s*(.+)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Reply:
    """The first verdict in what the model wrote (None: there is none), and what it says it quotes."""

    verdict: str | None
    quote: str


class JudgeModel:
    """Asks what `prompt` asks at temperature 0, `repeats` times with the verdicts in another order each time, so that
    none gains by its place. What a model replied is kept in `cache` by the hash of what it was asked.
    """

    def __init__(self, model: ChatModel, prompt: Prompt, cache: Path, *, repeats: int) -> None:
        self._model = model
        self._prompt = prompt
        self._cache = cache
        self.repeats = repeats

    @property
    def about(self) -> dict[str, object]:
        """For a report: which judge it is."""
        return {"model": self._model.profile.name, "prompt": self._prompt.reference, "repeats": self.repeats}

    async def replies(self, verdicts: Mapping[str, str], **values: str) -> list[Reply]:
        """What it says of `values`; `verdicts` are three words with what each means. Raises ProviderError."""
        orders, found = list(permutations(verdicts)), list[Reply]()
        word = re.compile(rf"\b({'|'.join(verdicts)})\b", re.IGNORECASE)
        for turn in range(self.repeats):
            shown = "\n".join(f"- {name}: {verdicts[name]}" for name in orders[turn * 5 % 6])
            text = await self._reply(self._prompt.messages(verdicts=shown, **values))
            verdict, quote = word.search(text), _QUOTE.search(text)
            words = " ".join(quote[1].strip().strip("\"'“”`. ").split()) if quote else ""
            found.append(Reply(verdict[1].lower() if verdict else None, words))
        return found

    async def _reply(self, asked: list[ChatMessage]) -> str:
        key = sha256(msgspec.json.encode((self._model.profile.name, asked))).hexdigest()
        kept = self._cache / key[:2] / key
        if kept.is_file():
            return kept.read_text()
        async with aclosing(self._model.stream(asked, max_tokens=_REPLY_TOKENS)) as deltas:
            reply = "".join([delta.text async for delta in deltas])
        kept.parent.mkdir(parents=True, exist_ok=True)
        draft = kept.with_suffix(".draft")
        draft.write_text(reply)
        draft.replace(kept)
        return reply


@asynccontextmanager
async def open_judge_model(settings: Settings, model: str, prompt: str, *, repeats: int) -> AsyncIterator[JudgeModel]:
    """The chat model of this name for the prompt of that name, with the other settings of the chat model that answers.

    Raises UnknownModel, MissingKey, ConfigurationError.
    """
    if model == "extractive":
        raise ConfigurationError("`extractive` only copies passages; --judge takes a model that follows instructions.")
    active = PromptFiles(settings.prompts_dir).active(prompt)
    chat = make_chat_model(settings.model_copy(update={"chat_model": model, "chat_models": ()}))
    try:
        yield JudgeModel(chat, active, settings.data_dir / "judge", repeats=repeats)
    finally:
        await chat.close()


def majority(replies: Sequence[Reply]) -> tuple[str | None, float]:
    """What most replies say (None: two verdicts equally often, or none), and which share of them say it."""
    counted = Counter(reply.verdict for reply in replies if reply.verdict is not None).most_common()
    share = counted[0][1] / len(replies) if counted else 0.0
    if not counted or (len(counted) > 1 and counted[0][1] == counted[1][1]):
        return None, share
    return counted[0][0], share


def quote_of(replies: Sequence[Reply], verdict: str | None, *sources: str) -> str:
    """The first quote with this verdict that stands in a source; empty when none does."""
    texts = [" ".join(source.lower().split()) for source in sources]
    quotes = [reply.quote for reply in replies if reply.verdict == verdict and reply.quote]
    return next((quote for quote in quotes if any(quote.lower() in text for text in texts)), "")
