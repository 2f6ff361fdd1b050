"""Text that clients send: whole characters, and none that PostgreSQL cannot store."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

MAX_INTEGER = 2**63 - 1
"""The greatest number that PostgreSQL and Redis count with."""


def cleaned(text: str) -> str:
    """The text with a space for each NUL.

    Raises ValueError for half a surrogate pair, which is what a client leaves of an emoji that it cuts in two.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"the text holds half a surrogate pair at character {error.start}; send whole characters"
        ) from error
    return text.replace("\x00", " ")


def strings(value: Any) -> Iterator[str]:
    """Every string in a JSON value, keys too."""
    left = [value]
    while left:
        match left.pop():
            case str() as text:
                yield text
            case dict() as inner:
                left += [*inner, *inner.values()]
            case list() as inner:
                left += inner


def _whole(value: Any) -> Any:
    for text in strings(value):
        cleaned(text)
    return value


def _question(text: str) -> str:
    if not text.strip():
        raise ValueError("the question is empty; send some text")
    return text.strip()


def _name(text: str) -> str:
    if "\x00" in text:
        raise ValueError("a name cannot hold a NUL")
    return text


# pydantic's own check comes after, and its message says less
Text = Annotated[str, BeforeValidator(lambda value: cleaned(value) if isinstance(value, str) else value)]
QuestionText = Annotated[Text, AfterValidator(_question)]
Name = Annotated[str, BeforeValidator(_whole), AfterValidator(_name)]
Whole = BeforeValidator(_whole)
"""For JSON of any shape that is kept or sent back."""
