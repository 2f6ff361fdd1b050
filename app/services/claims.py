"""Claim: what a sentence says that can be checked, as words, quantities, names and negations."""

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


STOP_WORDS = _words(
    "a about above according after again all also although am an and another any anyone anything are around as at away "
    "be became because become been before being below between both but by came can could d did do does doing done down "
    "due during each either else etc even ever every for from further get gets getting given go goes going got had has "
    "have having he hence her here hers him himself his how however i if in indeed instead into is it its itself just ll "
    "made make makes making may me might more most much must my of off often on only onto or other others ought our ours "
    "out over own per please quite rather re s same shall she should since so some such t than that the their theirs "
    "them themselves then there thereby therefore these they this those though through thus to too toward towards "
    "under until up upon us ve very via was we well were what when where whereas whether which while who whom whose why "
    "will with within would yes yet you your yours"
)
"""Words that say nothing on their own; negations are not among them."""
_NEGATORS = _words("not no never without none cannot nor neither nobody nothing nowhere n't")
_CALENDAR = _words(
    "january february march april may june july august september october november december "
    "monday tuesday wednesday thursday friday saturday sunday"
)
_CARDINALS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_ORDINALS = (
    "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
)
_NUMBER_WORDS = {word: n for n, word in enumerate(_CARDINALS.split())} | {
    word: 10 * n for n, word in enumerate(_TENS.split(), 2)
}
_ORDINAL_WORDS = {word: n for n, word in enumerate(_ORDINALS.split())}
_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_UNITS = {
    spelling: group.split()[0]
    for group in (
        "% percent pct percentage",
        "$ dollar dollars usd",
        "€ euro euros eur",
        "£ pound pounds gbp",
        "¥ yen yuan",
        "cent cents",
        "mm millimetre millimetres millimeter millimeters",
        "cm centimetre centimetres centimeter centimeters",
        "m metre metres meter meters",
        "km kilometre kilometres kilometer kilometers",
        "inch inches",
        "ft foot feet",
        "yard yards yd",
        "mile miles mi",
        "acre acres",
        "ha hectare hectares",
        "mg milligram milligrams",
        "g gram grams",
        "kg kilogram kilograms",
        "ton tons tonne tonnes",
        "lb lbs",
        "oz ounce ounces",
        "ml millilitre millilitres milliliter milliliters",
        "l litre litres liter liters",
        "gallon gallons",
        "ms millisecond milliseconds",
        "sec second seconds",
        "min minute minutes",
        "h hour hours hr hrs",
        "day days",
        "week weeks",
        "month months",
        "year years",
        "decade decades",
        "century centuries",
        "° degree degrees",
        "celsius",
        "fahrenheit",
        "bit bits",
        "byte bytes",
        "kb kilobyte kilobytes",
        "mb megabyte megabytes",
        "gb gigabyte gigabytes",
        "tb terabyte terabytes",
        "hz hertz",
        "khz",
        "mhz",
        "ghz",
        "mph",
        "w watt watts",
        "kw kilowatt kilowatts",
        "mw megawatt megawatts",
        "kwh",
        "volt volts",
        "dozen dozens",
        "time times",
    )
    for spelling in group.split()
}
"""Spellings of units; the first of a group stands for all."""

_CJK = "぀-ヿ㐀-䶿一-鿿"
_LETTER = rf"[^\W\d_{_CJK}]"
_TOKEN = re.compile(
    rf"(?P<number>\d+(?:[.,]\d+)*)(?P<suffix>{_LETTER}*)"
    rf"|(?P<acronym>(?:{_LETTER}\.){{2,}})"
    rf"|(?P<word>{_LETTER}+(?:['’]{_LETTER}+)*\d*)"
    rf"|(?P<cjk>[{_CJK}]+)"
    r"|(?P<symbol>[%$€£¥°])"
)
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_SHORT_RANGE = re.compile(r"\b(\d\d)(\d\d\s?[-–—]{1,2}\s?)(\d\d)\b(?!-)")  # 1946–49
_NOTE_MARK = re.compile(r"\[\^?\d{1,3}\]")
_ENCLITIC = re.compile(r"['’](?:s|ve|re|ll|d|m)\Z")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number in one spelling (`1000`, `3.5`, `2001`), with its unit (`km`, `%`; `th` for an ordinal; may be empty)."""

    value: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a text says.

    `words`: stems of its content words and its numbers. `quantities` with their units. `calendar`: months and weekdays.
    `names`: stems of capitalised words. `negated`: stems of the words right after a negation.
    """

    words: frozenset[str]
    quantities: frozenset[Quantity]
    calendar: frozenset[str]
    names: frozenset[str]
    negated: frozenset[str]
    negates: bool


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    suffix: str = ""

    @property
    def lower(self) -> str:
        return self.text.lower()

    @property
    def capitalised(self) -> bool:
        return self.kind in {"word", "acronym"} and self.text[0].isupper() and len(self.text) > 1


def read_claim(text: str) -> Claim:
    """What `text` says; the model's own note marks ([1]) are left out."""
    text = _NOTE_MARK.sub(" ", text)
    tokens = _tokens(_SHORT_RANGE.sub(r"\1\2\1\3", text))
    quantities, taken = _quantities(tokens)
    said = [token for i, token in enumerate(tokens) if i not in taken]
    words = {stem for token in said for stem in _stems(token)}
    negated, negates = _negated(said)
    return Claim(
        words=frozenset(words | {quantity.value for quantity in quantities}),
        quantities=frozenset(quantities),
        calendar=frozenset(token.lower for token in said if token.capitalised and token.lower in _CALENDAR),
        names=frozenset(_names(said, text)),
        negated=frozenset(negated),
        negates=negates,
    )


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """Fold the plural, -ing, -ed and a final e: a light suffix normaliser for lower-case English words."""
    if len(word) < 4 or not word.isascii():
        return word
    if word.endswith("ies") or word.endswith("ied"):
        return word[:-3] + "y"
    if word.endswith("es") and word[-3] in "sxz":
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed", "ly"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
                word = word[:-1]
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def _tokens(text: str) -> list[_Token]:
    tokens = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        if kind == "suffix":
            kind = "number"
            tokens.append(_Token(kind, match["number"], match.start(), match["suffix"].lower()))
        elif kind == "acronym":
            tokens.append(_Token(kind, match[0].replace(".", ""), match.start()))
        else:
            tokens.append(_Token(kind, _ENCLITIC.sub("", match[0]), match.start()))
    return tokens


def _stems(token: _Token) -> list[str]:
    """The content words of a token: none for a stop word, pairs of characters for a script without word breaks."""
    if token.kind == "cjk":
        return [token.text[i : i + 2] for i in range(max(1, len(token.text) - 1))]
    if token.kind == "number":
        return [token.text + token.suffix]
    if token.kind == "symbol":
        return []
    acronym = token.kind == "acronym" or (token.text.isupper() and len(token.text) > 1)
    if token.lower in _NEGATORS or token.lower.endswith("n't") or (token.lower in STOP_WORDS and not acronym):
        return []
    return [stem(token.lower)]


def _quantities(tokens: list[_Token]) -> tuple[list[Quantity], set[int]]:
    """The quantities, and the indices of the tokens that they are made of."""
    quantities: list[Quantity] = []
    taken: set[int] = set()
    i = 0
    while i < len(tokens):
        number = _number(tokens, i)
        if number is None:
            i += 1
            continue
        value, unit, end = number
        while end < len(tokens) and tokens[end].lower in _SCALES:
            value *= 10 ** _SCALES[tokens[end].lower]
            end += 1
        if not unit and i and tokens[i - 1].text in _UNITS and tokens[i - 1].kind == "symbol":
            unit = _UNITS[tokens[i - 1].text]
        elif not unit and end < len(tokens):
            if [token.lower for token in tokens[end : end + 2]] == ["per", "cent"]:
                unit, end = "%", end + 2
            elif tokens[end].lower in _UNITS:
                unit, end = _UNITS[tokens[end].lower], end + 1
        taken.update(range(i, end))
        if value != 1 or unit not in {"", "th"}:  # “one” and “first” are seldom numbers
            quantities.append(Quantity(format(value.normalize(), "f"), unit))
        i = end
    return quantities, taken


def _number(tokens: list[_Token], i: int) -> tuple[Decimal, str, int] | None:
    """Value, unit written onto it, and the index after the number that starts at token `i`, if one does."""
    token = tokens[i]
    if token.kind == "number":
        digits = token.text.replace(",", "") if _GROUPED.fullmatch(token.text) else token.text.replace(",", ".")
        ordinal = token.suffix in {"st", "nd", "rd", "th"}
        unit = "th" if ordinal else _UNITS.get(token.suffix, "")
        if digits.count(".") > 1 or (token.suffix not in {"", "s"} and not unit):
            return None  # a version, a word such as 3D
        return Decimal(digits), unit, i + 1
    word = token.lower
    following = tokens[i + 1].lower if i + 1 < len(tokens) else ""
    if (tens := _NUMBER_WORDS.get(word, 0)) >= 20:
        if 0 < _NUMBER_WORDS.get(following, 0) < 10:
            return Decimal(tens + _NUMBER_WORDS[following]), "", i + 2
        if 0 < _ORDINAL_WORDS.get(following, 0) < 10:
            return Decimal(tens + _ORDINAL_WORDS[following]), "th", i + 2
    if word in _NUMBER_WORDS:
        return Decimal(_NUMBER_WORDS[word]), "", i + 1
    if word in _ORDINAL_WORDS:
        return Decimal(_ORDINAL_WORDS[word]), "th", i + 1
    return None


def _names(tokens: list[_Token], text: str) -> set[str]:
    """Stems of the capitalised words that are more than the start of a sentence."""
    if text.isupper():
        return set()
    names = set()
    for i, token in enumerate(tokens):
        if not token.capitalised or not _stems(token) or token.lower in _CALENDAR:
            continue
        if not _starts(token, text) or _is_name_at_start(tokens, i):
            names.add(stem(token.lower))
    return names


def _starts(token: _Token, text: str) -> bool:
    """Whether any word would be capitalised here: first in the text, in a quotation, a bracket, after a colon or stop."""
    before = text[: token.start].rstrip(" \t\n\"'“‘«*_`")
    return not before or before[-1] in ":.!?…|([—;" or before != text[: token.start].rstrip()


def _is_name_at_start(tokens: list[_Token], i: int) -> bool:
    """Whether the capitalised word that starts a sentence looks like a name: mixed case, or another such word after it,
    or a verb in the singular after a word that is no -s, -ing, -ed or -ly form."""
    token = tokens[i]
    if not token.text[1:].islower():
        return True
    following = tokens[i + 1] if i + 1 < len(tokens) else None
    if following is None:
        return False
    if following.capitalised and following.lower not in STOP_WORDS:
        return True
    bare = not token.lower.endswith(("s", "ing", "ed", "ly"))
    return bare and following.lower in {"is", "was", "has", "had", "became", "did", "does"}


def _negated(tokens: list[_Token]) -> tuple[set[str], bool]:
    """The stem right after each negation, and whether there is a negation at all."""
    negated = set()
    negates = False
    for i, token in enumerate(tokens):
        if token.lower not in _NEGATORS and not token.lower.endswith("n't"):
            continue
        following = tokens[i + 1 : i + 5]
        if following and (following[0].lower == "only" or (token.lower == "no" and following[0].kind == "number")):
            continue
        negates = True
        after = next((stems[0] for candidate in following if (stems := _stems(candidate))), None)
        if after is not None:
            negated.add(after)
    return negated, negates
