"""Changes: true sentences made wrong, by one number, date, unit, name or negation."""

import re
from collections.abc import Callable
from random import Random

_NUMBER = re.compile(r"(?<![\w.,])\d{1,3}(?:,\d{3})*(?:\.\d+)?(?![\w.,]*\d)")
_YEAR = re.compile(r"\b(?:1\d|20)\d\d\b")
_MONTHS = (
    "January February March April May June July August September October November December".split()  # noqa: SIM905
)
_MONTH = re.compile(rf"\b(?:{'|'.join(_MONTHS)})\b")
_UNITS = {
    "years": "months",
    "months": "weeks",
    "weeks": "days",
    "days": "hours",
    "hours": "minutes",
    "minutes": "hours",
    "million": "billion",
    "billion": "million",
    "thousand": "million",
    "percent": "degrees",
    "%": " degrees",
    "miles": "kilometres",
    "mi": "km",
    "km": "miles",
    "kilometres": "miles",
    "kilometers": "miles",
    "feet": "metres",
    "ft": "m",
    "metres": "feet",
    "meters": "feet",
    "m": "ft",
    "inches": "centimetres",
    "cm": "inches",
    "mm": "cm",
    "pounds": "kilograms",
    "kg": "pounds",
    "episodes": "seasons",
    "seasons": "episodes",
    "games": "seasons",
}
_UNIT = re.compile(rf"(?<=\d)(\s?-?\s?)({'|'.join(sorted(map(re.escape, _UNITS), key=len, reverse=True))})(?!\w)")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{3,}\b")
_NAMES = ("Halvorsen", "Brindle", "Okafor", "Lindqvist", "Marwick", "Tavares", "Ostrander", "Pellegrin", "Quarles")
_VERB = re.compile(r"\b(?:is|was|are|were|has|had|can|will|did|does|could|would)\b(?! not)")
_NOT = re.compile(r" not\b")


def _number(sentence: str, random: Random) -> str | None:
    found = [m for m in _NUMBER.finditer(sentence) if not _YEAR.fullmatch(m[0])]
    if not found:
        return None
    match = random.choice(found)
    digit = random.choice([i for i, c in enumerate(match[0]) if c.isdigit()])
    other = random.choice([c for c in "123456789" if c != match[0][digit]])
    at = match.start() + digit
    return sentence[:at] + other + sentence[at + 1 :]


def _date(sentence: str, random: Random) -> str | None:
    found = [*_YEAR.finditer(sentence), *_MONTH.finditer(sentence)]
    if not found:
        return None
    match = random.choice(found)
    if match[0].isdigit():
        other = str(int(match[0]) + random.choice([-11, -3, -2, -1, 1, 2, 4, 10]))
    else:
        other = random.choice([month for month in _MONTHS if month != match[0]])
    return sentence[: match.start()] + other + sentence[match.end() :]


def _unit(sentence: str, random: Random) -> str | None:
    found = list(_UNIT.finditer(sentence))
    if not found:
        return None
    match = random.choice(found)
    return sentence[: match.start(2)] + _UNITS[match[2]] + sentence[match.end() :]


def _name(sentence: str, random: Random) -> str | None:
    found = [m for m in _NAME.finditer(sentence) if m[0] not in _MONTHS]
    if not found:
        return None
    match = random.choice(found)
    return sentence[: match.start()] + random.choice(_NAMES) + sentence[match.end() :]


def _negation(sentence: str, random: Random) -> str | None:
    if (match := _NOT.search(sentence)) is not None:
        return sentence[: match.start()] + sentence[match.end() :]
    found = list(_VERB.finditer(sentence))
    if not found:
        return None
    match = random.choice(found)
    return sentence[: match.end()] + " not" + sentence[match.end() :]


CHANGES: dict[str, Callable[[str, Random], str | None]] = {
    "number": _number,
    "date": _date,
    "unit": _unit,
    "name": _name,
    "negation": _negation,
}
"""Each makes a sentence wrong in one place, or gives None when there is no such place."""
