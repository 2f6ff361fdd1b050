"""Quantity: a number with its unit, in one spelling."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from app.services.words import Token

_CARDINALS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_ORDINALS = (
    "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
)
_CARDINAL = {word: n for n, word in enumerate(_CARDINALS.split())} | {w: 10 * n for n, w in enumerate(_TENS.split(), 2)}
_ORDINAL = {word: n for n, word in enumerate(_ORDINALS.split())}
_NUMBER_WORDS = _CARDINAL.keys() | _ORDINAL.keys()
_POWER_OF_TEN = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_UNIT_SPELLINGS = """
% percent pct percentage
$ dollar dollars usd
€ euro euros eur
£ pound pounds gbp
¥ yen yuan
cent cents
mm millimetre millimetres millimeter millimeters
cm centimetre centimetres centimeter centimeters
m metre metres meter meters
km kilometre kilometres kilometer kilometers
inch inches
ft foot feet
yd yard yards
mi mile miles
acre acres
ha hectare hectares
mg milligram milligrams
g gram grams
kg kilogram kilograms
t ton tons tonne tonnes
lb lbs
oz ounce ounces
ml millilitre millilitres milliliter milliliters
l litre litres liter liters
gallon gallons
ms millisecond milliseconds
s sec second seconds
min minute minutes
h hr hrs hour hours
day days
week weeks
month months
year years
decade decades
century centuries
° degree degrees
celsius
fahrenheit
bit bits
byte bytes
kb kilobyte kilobytes
mb megabyte megabytes
gb gigabyte gigabytes
tb terabyte terabytes
hz hertz
khz
mhz
ghz
mph
w watt watts
kw kilowatt kilowatts
mw megawatt megawatts
kwh
volt volts
dozen dozens
time times
"""
_UNIT = {word: line.split()[0] for line in _UNIT_SPELLINGS.strip().splitlines() for word in line.split()}
_CURRENCIES = frozenset("$€£¥")
_SHORT_SCALE = {"k": 3, "m": 6, "b": 9, "bn": 9}  # $5m
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_ORDINAL_UNIT = "th"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number in one spelling (`1000`, `3.5`, `2001`) with its unit (`km`, `%`; `th` for ordinals; may be empty)."""

    value: str
    unit: str = ""

    def agrees(self, other: "Quantity") -> bool:
        """Whether both say the same; a number without a unit agrees with any unit."""
        return self.value == other.value and (self.unit == other.unit or not self.unit or not other.unit)


ONE = Quantity("1")
FIRST = Quantity("1", _ORDINAL_UNIT)


@dataclass(frozen=True, slots=True)
class Reading:
    """The quantity that tokens `start` to `end` spell; `in_words` when they spell it without digits."""

    quantity: Quantity
    start: int
    end: int
    in_words: bool


def read_quantities(tokens: Sequence[Token]) -> list[Reading]:
    """The quantities among tokens, in order: digits or English number words, scaled by “million”, with their units."""
    readings: list[Reading] = []
    i = 0
    while i < len(tokens):
        token = tokens[i]
        number = _number(tokens, i) if token.kind == "number" or token.lower in _NUMBER_WORDS else None
        if number is None:
            i += 1
            continue
        value, unit, end = number
        while end < len(tokens) and tokens[end].lower in _POWER_OF_TEN:
            value = value.scaleb(_POWER_OF_TEN[tokens[end].lower])
            end += 1
        if not unit:
            unit, end = _unit(tokens, i, end)
        in_words = token.kind != "number"
        readings.append(Reading(Quantity(format(value.normalize(), "f"), unit), i, end, in_words))
        i = end
    return readings


def _number(tokens: Sequence[Token], i: int) -> tuple[Decimal, str, int] | None:
    """Value, unit written onto it, and the index after the number that starts at token `i`, if one does."""
    token = tokens[i]
    if token.kind == "number":
        return _digits(token, priced=i > 0 and tokens[i - 1].text in _CURRENCIES, end=i + 1)
    following = tokens[i + 1].lower if i + 1 < len(tokens) else ""
    tens = _CARDINAL.get(token.lower, 0)
    if tens >= 20 and 0 < _CARDINAL.get(following, 0) < 10:
        return Decimal(tens + _CARDINAL[following]), "", i + 2
    if tens >= 20 and 0 < _ORDINAL.get(following, 0) < 10:
        return Decimal(tens + _ORDINAL[following]), _ORDINAL_UNIT, i + 2
    if token.lower in _CARDINAL:
        return Decimal(_CARDINAL[token.lower]), "", i + 1
    if token.lower in _ORDINAL:
        return Decimal(_ORDINAL[token.lower]), _ORDINAL_UNIT, i + 1
    return None


def _digits(token: Token, *, priced: bool, end: int) -> tuple[Decimal, str, int] | None:
    """As `_number`, for digits; None for a version (1.2.3) and for a word such as 3D."""
    digits = token.text.replace(",", "") if _GROUPED.fullmatch(token.text) else token.text.replace(",", ".")
    if digits.count(".") > 1:
        return None
    if priced and token.suffix in _SHORT_SCALE:
        return Decimal(digits).scaleb(_SHORT_SCALE[token.suffix]), "", end
    if token.suffix in {"", "s"}:  # the 1990s
        return Decimal(digits), "", end
    unit = _ORDINAL_UNIT if token.suffix in {"st", "nd", "rd", "th"} else _UNIT.get(token.suffix)
    return None if unit is None else (Decimal(digits), unit, end)


def _unit(tokens: Sequence[Token], start: int, end: int) -> tuple[str, int]:
    """The unit before or after the number, and the index after both."""
    if start and tokens[start - 1].text in _CURRENCIES:
        return _UNIT[tokens[start - 1].text], end
    if [token.lower for token in tokens[end : end + 2]] == ["per", "cent"]:
        return "%", end + 2
    if end < len(tokens) and tokens[end].lower in _UNIT:
        return _UNIT[tokens[end].lower], end + 1
    return "", end
