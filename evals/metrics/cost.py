"""Cost: what an answer cost, by the prices of the tokens that its model read and wrote."""

from app.domain.prices import Prices
from app.domain.run import Usage


def cost(usage: Usage | None, prices: Prices, *, completed: bool) -> float | None:
    """In the prices' currency; 0 for a completed answer that no model wrote, None when the tokens are unknown."""
    if usage is None:
        return 0.0 if completed else None
    return prices.cost(usage.prompt_tokens, usage.completion_tokens)
