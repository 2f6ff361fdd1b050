"""Prices: what the tokens of a chat model cost."""

from dataclasses import dataclass

_PER = 1_000_000


@dataclass(frozen=True, slots=True)
class Prices:
    """Of a million tokens of prompts and of answers, in whatever currency."""

    prompt: float
    completion: float

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Of so many tokens, in the prices' currency."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / _PER
