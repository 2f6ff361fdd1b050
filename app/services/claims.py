"""Claim: what a sentence says that can be checked, as words, quantities, names and negations."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from app.domain.sentences import NOTE_MARK, NOTE_MARKS, STOPS
from app.services.quantities import FIRST, ONE, Quantity, Reading, read_quantities
from app.services.words import Token, tokens_of, word_set

_NOTE_MARK = re.compile(rf"{NOTE_MARK}|(?<=[{STOPS}]) ?{NOTE_MARKS}")
# a model's own words for where it has it from: [Source: 1], (passages 1 and 2), <sup>1</sup>
_NAMED_MARK = re.compile(
    r"[\[(](?:see |siehe |vgl\. )?(?:passage|source|document|doc|passagen|quelle|fuente|fonte)[sn]?(?: id)?\s?[:=#]?\s?"
    r"\"?\d{1,3}\"?(?:\s?(?:,|;|and|und|et|y|e|-|–)\s?\d{1,3})*[\])]|<sup>\[?\d{1,3}\]?</sup>",
    re.IGNORECASE,
)
_SHORT_RANGE = re.compile(r"\b(\d\d)(\d\d\s?[-–—]{1,2}\s?)(\d\d)\b(?!-)")  # 1946–49
# two backticks are quotation marks in many texts (``so'')
_LITERAL = re.compile(r"(?<!`)`([^`\n]+)`(?!`)|(https?://[^\s<>\"`]+)")
_DENIAL = re.compile(
    r"\w+less(?:ly|ness)?|rarely|few|unless"
    r"|(?:absen|avoid|den[iy]|disallow|exclud|fail|forb|impossib|inabilit|lack|limit|maxim|prevent|prohibit|refus|reject|unable)\w*"
)
_CJK_NEGATION = re.compile(
    r"(?P<before>不(?!同|少|但|仅|僅|过|過|断|斷|久|管|论|論|错|錯|得不)|[没沒勿]|禁止|未(?![来來必])|[无無](?![论論数數线線料])|非(?![常洲]))"
    r"|(?<!かもしれ)(?<!ければなら)(?<!ければなり)(?<!違い)(?<!少)(?<!しか)(?:ない|ません|なかった)"
)
_CJK_DENIAL = re.compile(r"[拒缺欠]|避免|除外|除非|最多|至多|以下|以内")
_KANJI = re.compile("[㐀-䶿一-鿿]")
_NEGATION_REACH = 4  # among so many words after a negation, the first that says something is what is negated
_SINGULAR_VERBS = word_set("is was has had became did does")
_ARTICLES = word_set("der die das den dem des ein eine le la les un une el los las il lo gli")
_MAY_PRECEDE_A_CAPITAL = ":.!?…|([—;"
_QUOTES_AND_EMPHASIS = "\"'“‘«„*_`"
_LEAST_NAME_STEM = 4


@dataclass(frozen=True, slots=True)
class Claim:
    """What a text says.

    `words`: stems of its content words, and its numbers. `pairs`: its neighbouring words, where one of the two
    says something and is no number or date. `calendar`: months and weekdays. `names`: stems of capitalised words.
    `negated`: stems that stand right after a negation, `denied`: those that do so each time they occur.
    `negates`: whether there is a negation; `denies`: whether there is one, or a word that implies one. `literals`: what
    stands as code, and URLs, as `plain` has them.
    """

    words: frozenset[str]
    pairs: frozenset[tuple[str, str]]
    quantities: frozenset[Quantity]
    calendar: frozenset[str]
    names: frozenset[str]
    negated: frozenset[str]
    denied: frozenset[str]
    negates: bool
    denies: bool
    literals: frozenset[str] = frozenset()


def read_words(text: str) -> frozenset[str]:
    """The `words` of what `text` says, in half the time that reading all of it takes."""
    placed = tokens_of(spelled_out(text))
    readings, numeric = _readings(placed)
    stems = {stem for i, (_, token) in enumerate(placed) if i not in numeric for stem in token.stems}
    return frozenset(stems.union(reading.quantity.value for reading in readings))


@lru_cache(4_000)
def read_claim(text: str) -> Claim:
    """What `text` says; a model's own note marks ([1]) are left out."""
    literals = frozenset(plain(code or url.rstrip(".,;:!?)]'*_")) for code, url in _LITERAL.findall(text))
    text = spelled_out(text)
    placed = tokens_of(text)
    readings, numeric = _readings(placed)
    pairs = _pairs([token for _, token in placed], numeric)
    placed = [pair for i, pair in enumerate(placed) if i not in numeric]
    said = [token for _, token in placed]
    negated, negates = _negated(said)
    occurrences = Counter(stem for token in said for stem in token.stems)
    return Claim(
        words=frozenset(occurrences) | {reading.quantity.value for reading in readings},
        pairs=pairs,
        # “one” and “first” are seldom meant as numbers
        quantities=frozenset(r.quantity for r in readings if not (r.in_words and r.quantity in {ONE, FIRST})),
        calendar=frozenset(token.lower for token in said if token.calendar),
        names=_names(placed, text),
        negated=frozenset(negated),
        denied=frozenset(stem for stem, count in negated.items() if count == occurrences[stem]),
        negates=negates,
        denies=negates or any(map(_denies, said)),
        literals=literals,
    )


def plain(text: str) -> str:
    """The text with single spaces, in one case."""
    return " ".join(text.split()).casefold()


def spelled_out(text: str) -> str:
    """The text with short ranges of years in full, without a model's own note marks."""
    return _SHORT_RANGE.sub(r"\1\2\1\3", _NAMED_MARK.sub(" ", _NOTE_MARK.sub(" ", text)))


def _readings(placed: Sequence[tuple[int, Token]]) -> tuple[list[Reading], set[int]]:
    """The quantities, and which of the tokens spell them."""
    readings = read_quantities([token for _, token in placed])
    return readings, {i for reading in readings for i in range(reading.start, reading.end)}


def join_claims(claims: Iterable[Claim]) -> Claim:
    """What several texts say together."""
    claims = list(claims)
    affirmed = {stem for claim in claims for stem in claim.words - claim.denied}
    return Claim(
        words=frozenset().union(*(claim.words for claim in claims)),
        pairs=frozenset().union(*(claim.pairs for claim in claims)),
        quantities=frozenset().union(*(claim.quantities for claim in claims)),
        calendar=frozenset().union(*(claim.calendar for claim in claims)),
        names=frozenset().union(*(claim.names for claim in claims)),
        negated=frozenset().union(*(claim.negated for claim in claims)),
        denied=frozenset().union(*(claim.denied for claim in claims)) - affirmed,
        negates=any(claim.negates for claim in claims),
        denies=any(claim.denies for claim in claims),
    )


def disagreements(claim: Claim, evidence: Claim, known: frozenset[str]) -> list[str]:
    """What of the claim's facts the evidence does not bear out: `number`, `date`, `name`, `negation`.

    `known` are the words among which the claim's names must be: those of the evidence and what stands around it.
    """
    kinds = []
    if not all(_borne_out(quantity, evidence) for quantity in claim.quantities):
        kinds.append("number")
    if not claim.calendar <= evidence.calendar:
        kinds.append("date")
    if not all(_is_known(name, known) for name in claim.names):
        kinds.append("name")
    turned = claim.denied & (evidence.words - evidence.negated)
    turned_back = evidence.denied & (claim.words - claim.negated)
    if turned or turned_back or (claim.negates and not evidence.denies):
        kinds.append("negation")
    return kinds


def _borne_out(quantity: Quantity, evidence: Claim) -> bool:
    return (not quantity.unit and quantity.value in evidence.words) or any(
        quantity.agrees(other) for other in evidence.quantities
    )


def _is_known(name: str, known: frozenset[str]) -> bool:
    """Whether the name occurs, if only in another form (“Turkey”, “Turkish”)."""
    if name in known:
        return True
    beginning = name[: max(_LEAST_NAME_STEM, len(name) - 3)]
    return len(beginning) >= _LEAST_NAME_STEM and any(word.startswith(beginning) for word in known)


def _pairs(tokens: Sequence[Token], numeric: Set[int]) -> frozenset[tuple[str, str]]:
    """The neighbouring words of which at least one says something and is no date and none of the `numeric` tokens."""
    words = [
        (stem, bool(token.stems) and not token.calendar and i not in numeric)
        for i, token in enumerate(tokens)
        for stem in token.stems or (token.lower,)
    ]
    return frozenset((left, right) for (left, says), (right, says_too) in pairwise(words) if says or says_too)


def _names(placed: Sequence[tuple[int, Token]], text: str) -> frozenset[str]:
    """Stems of the capitalised words that are more than the start of a sentence; in German, of all nouns."""
    if text.isupper():
        return frozenset()
    tokens = [token for _, token in placed]
    names = set()
    for i, (start, token) in enumerate(placed):
        if not token.capitalised or token.calendar or not token.stems:
            continue
        if not _starts(start, text) or _is_name_at_start(tokens, i):
            names.add(token.stems[0])
    return frozenset(names)


def _starts(start: int, text: str) -> bool:
    """Whether any word would be capitalised here: at the start, in a quotation or emphasis, after a stop or colon."""
    before = text[:start].rstrip()
    bare = before.rstrip(_QUOTES_AND_EMPHASIS).rstrip()
    return bare != before or not bare or bare[-1] in _MAY_PRECEDE_A_CAPITAL


def _is_name_at_start(tokens: Sequence[Token], i: int) -> bool:
    """Whether the capitalised word that starts a sentence looks like a name.

    It has more capitals, another capitalised word follows, or a verb in the singular follows what is no -s, -ing, -ed
    or -ly form. “Water is” is taken for a name too; that does no harm where the passage has the word.
    """
    if not tokens[i].text[1:].islower():
        return True
    if i + 1 == len(tokens) or tokens[i].lower in _ARTICLES:
        return False
    following = tokens[i + 1]
    if following.capitalised and not following.stop_word:
        return True
    return following.lower in _SINGULAR_VERBS and not tokens[i].lower.endswith(("s", "ing", "ed", "ly"))


def _denies(token: Token) -> bool:
    """Whether the word implies a negation."""
    if token.kind == "cjk":
        return _CJK_DENIAL.search(token.text) is not None
    return _DENIAL.fullmatch(token.lower) is not None


def _cjk_negated(token: Token, negation: re.Match[str]) -> tuple[str, ...]:
    """What is negated: in Chinese what follows, in Japanese the verb before."""
    if negation["before"]:
        return token.stems[negation.end() : negation.end() + 2]
    verb = token.stems[max(0, negation.start() - 2) : negation.start()][:1]
    return tuple(stem for stem in verb if _KANJI.match(stem) or stem == "でき")


def _negated(tokens: Sequence[Token]) -> tuple[Counter[str], bool]:
    """How often each stem stands right after a negation, and whether there is a negation at all."""
    negated: Counter[str] = Counter()
    negates = False
    for i, token in enumerate(tokens):
        for found in _CJK_NEGATION.finditer(token.text) if token.kind == "cjk" else ():
            negates = True
            negated.update(_cjk_negated(token, found))
        following = tokens[i + 1 : i + 1 + _NEGATION_REACH]
        if not token.negator or (following and following[0].lower == "only"):
            continue
        negates = True
        negated.update(next((later.stems[:1] for later in following if later.stems), ()))
    return negated, negates
