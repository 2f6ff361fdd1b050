"""Cost: what an answer cost, by the prices of the tokens that its model read and wrote."""

from dataclasses import dataclass

from app.domain.run import Usage

PER = 1_000_000


@dataclass(frozen=True, slots=True)
class Prices:
    """Of a million tokens of prompts and of answers, in whatever currency."""

    prompt: float
    completion: float


def cost(usage: Usage | None, prices: Prices, *, completed: bool) -> float | None:
    """In the prices' currency; 0 for a completed answer that no model wrote, None when the tokens are unknown."""
    if usage is None:
        return 0.0 if completed else None
    return (usage.prompt_tokens * prices.prompt + usage.completion_tokens * prices.completion) / PER
