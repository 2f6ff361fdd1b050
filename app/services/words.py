"""Words: the tokens of a text and their stems."""

import re
from dataclasses import dataclass
from functools import lru_cache

PASSAGES_KEPT = 1_000
"""What was read in so many passages is kept: the next questions of a conversation find most of them again."""


def word_set(text: str) -> frozenset[str]:
    """The space-separated words of a table."""
    return frozenset(text.split())


_STOP_WORDS = word_set(
    "a about above according after again all also although am an and another any anyone anything are around as at "
    "away be became because become been before being below between both but by came can could d did do does doing "
    "done down due during each either else etc even ever every for from further get gets getting given go goes "
    "going got had has have having he hence her here hers him himself his how however i if in indeed instead into "
    "is it its itself just ll made make makes making may me might more most much must my of off often on only onto "
    "or other others ought our ours out over own per please quite rather re s same shall she should since so some "
    "such t than that the their theirs them themselves then there thereby therefore these they this those though "
    "through thus to too toward towards under until up upon us ve very via was we well were what when where whereas "
    "whether which while who whom whose why will with within would yes yet you your yours"
)
"""Words that say nothing on their own."""
_NEGATORS = word_set(
    "not no never without none cannot nor neither nobody nothing nowhere nicht kein keine keinen nie ohne"
)
_OTHER_NEGATORS = word_set(
    "pas jamais sans aucun aucune nunca ningún ninguna non senza nessun nessuna não sem nenhum nenhuma "
    "niet geen nooit zonder inte ingen inga aldrig ikke aldri uden uten nem nie bez nigdy není nejsou "
    "не нет ни никогда без нельзя ні немає δεν μην χωρίς değil yok tidak bukan tanpa không नहीं "
    "לא אין אינו אינה אינם אינן בלי ללא لا ليس ليست لم لن غير بدون نیست"
)
"""Of further languages; with a capital they are names in others (SEM, Open Sans)."""
_CALENDAR = word_set(
    "january february march april may june july august september october november december "
    "monday tuesday wednesday thursday friday saturday sunday"
)
"""Months and weekdays; only when capitalised."""

_NUMERAL = "零〇一二三四五六七八九十百千万萬亿億两兩"
_COUNTED = "元|円|块|塊|天|日|月|年|小时|小時|時間|分钟|分鐘|秒|周|週|次|回|倍|米|公里|岁|歲|人|名|页|頁|个|個|本|台"
_CJK_NUMBER = rf"(?!万一|千万[不别要])(?:[{_NUMERAL}]{{2,}}|[二三四五六七八九十两兩](?={_COUNTED}))"
_CJK_DIGITS = {
    character: value for value, pair in enumerate(("零〇", "一", "二两兩", *"三四五六七八九")) for character in pair
}
_CJK_TENS = {"十": 10, "百": 100, "千": 1000}
_CJK_MYRIADS = {"万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8}
_CJK = "぀-ヿ㐀-䶿一-鿿"
_LETTER = rf"[^\W\d_{_CJK}]"
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_TOKEN = re.compile(
    rf"{_NUMBER.pattern}(?P<suffix>{_LETTER}*)"
    rf"|(?P<acronym>(?:{_LETTER}\.){{2,}})"
    rf"|(?P<prefix>non)(?=-{_LETTER})"
    rf"|(?P<word>{_LETTER}+(?:['’]{_LETTER}+)*\d*)"
    rf"|(?P<numeral>{_CJK_NUMBER})"
    rf"|(?P<cjk>(?:(?!{_CJK_NUMBER})[{_CJK}])+)"
    r"|(?P<symbol>[%$€£¥°])"
)
_ENCLITIC = re.compile(r"['’](?:s|ve|re|ll|d|m)\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Token:
    """A word, number, acronym (without its stops), symbol, or run of a script without word breaks.

    `suffix`: the letters written onto a number (`th`, `km`). `capitalised`: a word of two letters or more that starts
    with a capital. `calendar`: a month or weekday. `negator`: turns a statement into its opposite. `stop_word`: says
    nothing on its own. `stems`: what it is matched by; none for stop words, negators and symbols, pairs of characters
    for a script without word breaks.
    """

    kind: str
    text: str
    suffix: str
    lower: str
    capitalised: bool
    calendar: bool
    negator: bool
    stop_word: bool
    stems: tuple[str, ...]


def tokens_of(text: str) -> list[tuple[int, Token]]:
    """The tokens of a text, each after its offset; punctuation is left out."""
    return [(match.start(), _token(match.lastgroup, match[0])) for match in _TOKEN.finditer(text)]


@lru_cache(maxsize=20_000)
def _token(group: str | None, text: str) -> Token:
    """What matched as a token; `group` is the last of `_TOKEN`'s that took part, of a number always its suffix."""
    kind, suffix = group or "", ""
    if (number := _NUMBER.match(text)) is not None:
        kind, text, suffix = "number", number[0], text[number.end() :].lower()
    elif kind == "numeral":
        kind, text = "number", str(_number_of(text))
    elif kind == "acronym":
        text = text.replace(".", "")
    else:
        text = _ENCLITIC.sub("", text)
    lower = text.lower()
    capitalised = kind in {"word", "acronym"} and len(text) > 1 and text[0].isupper()
    acronym = kind == "acronym" or (len(text) > 1 and text.isupper())  # “US” and “IT” are no stop words
    calendar = capitalised and lower in _CALENDAR
    written_low = text == lower or not text.isascii()
    other = lower in _OTHER_NEGATORS and written_low and kind != "prefix"  # “non-binding” denies no statement
    negator = lower in _NEGATORS or other or lower.endswith(("n't", "n’t"))
    stop_word = lower in _STOP_WORDS and not acronym and not calendar
    if kind == "cjk":
        stems: tuple[str, ...] = tuple(text[i : i + 2] for i in range(max(1, len(text) - 1)))
    elif kind == "number":
        stems = (text + suffix,)
    elif kind == "symbol" or negator or stop_word:
        stems = ()
    else:
        stems = (lower if calendar else stem(lower),)
    return Token(kind, text, suffix, lower, capitalised, calendar, negator, stop_word, stems)


def _number_of(numerals: str) -> int:
    """What Chinese numerals say: 二十五 is 25, 二〇二六 is 2026."""
    if all(character in _CJK_DIGITS for character in numerals):
        return int("".join(str(_CJK_DIGITS[character]) for character in numerals))
    number = group = digit = 0
    for character in numerals:
        if character in _CJK_DIGITS:
            digit = _CJK_DIGITS[character]
        elif character in _CJK_TENS:
            group += (digit or 1) * _CJK_TENS[character]
            digit = 0
        else:
            number += ((group + digit) or 1) * _CJK_MYRIADS[character]
            group = digit = 0
    return number + group + digit


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """Fold the plural, -ing, -ed, -ly and a final e of a lower-case English word; most other words stay as they are."""
    if len(word) < 4 or not word.isascii():
        return word
    if word.endswith(("ies", "ied")):
        return word[:-3] + "y"
    if word.endswith("es") and word[-3] in "sxz":
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed", "ly"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            if word[-1] == word[-2] and word[-1] not in "lsz":
                word = word[:-1]
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word
