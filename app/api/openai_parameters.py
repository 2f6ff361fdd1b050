"""OpenAI parameters: those that promise what an answer here cannot be, so that a request with them is refused.

Others that the model has (temperature, max_tokens, tools that it may call, …) are accepted and have no effect.
"""

from typing import Annotated, Any

from pydantic import AfterValidator

# `file_search` is what happens anyway
UNFORCED = ("none", "auto", "file_search")


def _text(asked: dict[str, Any] | None) -> dict[str, Any] | None:
    if asked is not None and asked.get("type") != "text":
        raise ValueError(
            "answers are text with footnotes, not JSON; leave this out, and have another model make it JSON"
        )
    return asked


def _unforced(choice: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
    kind = choice.get("type") if isinstance(choice, dict) else choice
    if isinstance(choice, dict) and kind == "allowed_tools":
        within = choice.get("allowed_tools")  # Responses has the mode beside it
        kind = (within if isinstance(within, dict) else choice).get("mode")
    if choice is not None and kind not in UNFORCED:
        raise ValueError("no tools are called here, so a call cannot be required; send `auto` or `none`")
    return choice


TextFormat = Annotated[dict[str, Any] | None, AfterValidator(_text)]
"""The format of an answer, which can only be text."""

ToolChoice = Annotated[str | dict[str, Any] | None, AfterValidator(_unforced)]
"""Which tools are called; none ever is."""
