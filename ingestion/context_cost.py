"""Context cost: what the language model would be asked for contexts, and what that costs."""

from collections.abc import Iterable
from dataclasses import dataclass

from app.domain.prices import Prices
from app.settings import Settings
from ingestion.context_prompt import REPLY_TOKENS, Question

_PRICES = "FOOTNOTE_CHAT_INPUT_PRICE and FOOTNOTE_CHAT_OUTPUT_PRICE"


@dataclass(frozen=True, slots=True)
class ContextCost:
    """So many contexts of a model: tokens of their prompts (cl100k_base, an estimate for other tokenizers), at most so
    many tokens of answers, and at most this cost in the currency of the prices; None when these are not set.
    """

    model: str
    contexts: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    cost: float | None = None

    def said(self) -> str:
        """In words."""
        if not self.contexts:
            return f"no context would be asked of {self.model}"
        costs = f"set {_PRICES} to be told what they cost"
        if self.cost is not None:
            costs = f"at most {money(self.cost)} by {_PRICES}"
        return (
            f"{self.contexts:,} contexts would be asked of {self.model}: about {self.prompt_tokens:,} tokens of "
            f"prompts and at most {self.answer_tokens:,} of answers; {costs}"
        )


class Costing:
    """Adds up what is asked of a model."""

    def __init__(self, settings: Settings, model: str) -> None:
        self._settings = settings
        self._model = model
        self._contexts = 0
        self._prompt_tokens = 0

    def add(self, questions: Iterable[Question]) -> None:
        """Count questions."""
        for question in questions:
            self._contexts += 1
            self._prompt_tokens += question.tokens

    def cost(self) -> ContextCost:
        """Of all that was added."""
        answer_tokens = self._contexts * REPLY_TOKENS
        return ContextCost(
            self._model,
            self._contexts,
            self._prompt_tokens,
            answer_tokens,
            cost_of(self._settings, self._prompt_tokens, answer_tokens),
        )


def cost_of(settings: Settings, prompt_tokens: int, answer_tokens: int) -> float | None:
    """What tokens cost by the prices of the settings, None when one is not set."""
    if settings.chat_input_price is None or settings.chat_output_price is None:
        return None
    return Prices(settings.chat_input_price, settings.chat_output_price).cost(prompt_tokens, answer_tokens)


def contexts_said(written: int, empty: int) -> str:
    """What an ingestion asked of the model, to be added to what it did; nothing when it asked for none."""
    return f", {written:,} contexts written ({empty:,} without words)" if written else ""


def money(cost: float) -> str:
    """To the hundredth, and where that says nothing to the first two digits that do."""
    return f"{cost:,.2f}" if cost >= 0.1 or cost == 0 else f"{cost:.2g}"
