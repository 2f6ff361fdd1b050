"""Judge: a language model that says whether an answer agrees with a reference."""

import re
from collections import Counter
from collections.abc import AsyncIterator
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

VERDICTS = {
    "correct": "the answer says what the reference says, in whatever words",
    "contradicted": "the answer says something that the reference says otherwise",
    "irrelevant": "the answer speaks of something else and does not answer the question",
}
MOST_REPEATS = 6  # as many orders as three verdicts have
_REPLY_TOKENS = 150
_VERDICT = re.compile(rf"\b({'|'.join(VERDICTS)})\b", re.IGNORECASE)
_QUOTE = re.compile(r"QUOTE:\s*(.+)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Case:
    """What is judged: an answer to a question, by a reference that is right."""

    question: str
    reference: str
    answer: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """What most repeats said (None: two verdicts equally often, or none), and which share of them did.

    `quote` are words of the reference, empty when what the model quoted does not stand there.
    """

    verdict: str | None
    agreement: float
    quote: str


class Judge:
    """Judges at temperature 0, `repeats` times with the verdicts in another order each time, so that none gains by its
    place. What a model replied is kept in `cache` by the hash of what it was asked.
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

    async def judge(self, case: Case) -> Judgement:
        """Raises ProviderError."""
        orders = list(permutations(VERDICTS))
        read = [_read(await self._reply(case, orders[turn * 5 % 6]), case.reference) for turn in range(self.repeats)]
        counted = Counter(verdict for verdict, _ in read if verdict is not None).most_common()
        if not counted or (len(counted) > 1 and counted[0][1] == counted[1][1]):
            return Judgement(None, max((count for _, count in counted), default=0) / self.repeats, "")
        verdict, count = counted[0]
        quotes = [quote for said, quote in read if said == verdict and quote]
        return Judgement(verdict, count / self.repeats, quotes[0] if quotes else "")

    async def _reply(self, case: Case, order: tuple[str, ...]) -> str:
        verdicts = "\n".join(f"- {name}: {VERDICTS[name]}" for name in order)
        system, user = self._prompt.render(
            question=case.question, reference=case.reference, answer=case.answer, verdicts=verdicts
        )
        asked = [ChatMessage("system", system), ChatMessage("user", user)]
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
async def open_judge(settings: Settings, model: str, *, repeats: int) -> AsyncIterator[Judge]:
    """A judge by the chat model of this name, with the other settings of the chat model that answers.

    Raises UnknownModel, MissingKey, ConfigurationError.
    """
    if model == "extractive":
        raise ConfigurationError("`extractive` only copies passages; --judge takes a model that follows instructions.")
    prompt = PromptFiles(settings.prompts_dir).active("judge")
    chat = make_chat_model(settings.model_copy(update={"chat_model": model, "chat_models": ()}))
    try:
        yield Judge(chat, prompt, settings.data_dir / "judge", repeats=repeats)
    finally:
        await chat.close()


def _read(reply: str, reference: str) -> tuple[str | None, str]:
    """The first verdict in a reply, and its quote if that stands in the reference."""
    verdict, quote = _VERDICT.search(reply), _QUOTE.search(reply)
    words = " ".join(quote[1].strip().strip("\"'“”`. ").split()) if quote else ""
    stands = words and words.lower() in " ".join(reference.lower().split())
    return verdict[1].lower() if verdict else None, words if stands else ""
