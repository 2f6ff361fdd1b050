"""Follow-up: whether a question goes on from what was said before, told from its words alone.

For models that cannot be asked. The word lists are English; every other language counts as going on, which loses less:
the question before then stands beside a question that can be understood alone. What that is worth on questions that go
on and on questions that do not: `make bench-topics`, docs/decisions/0026-several-turns.md.
"""

import re

from app.services.words import Token, tokens_of, word_set

_REFERRING = word_set(
    "it its they them their theirs he him his she her hers this these those there then one ones same other another "
    "others former latter such too also else instead previous first second third last"
)
"""Words that stand for something said before. “That” is left out: most often it joins a clause."""
_STANDING_FOR = _REFERRING & word_set("it its they them their theirs he him his she her hers this these those")
_LEADING = re.compile(
    r"\W*(?:and|or|but|so|then|also|what about|how about|what if|why not|how so|really|okay?|yes|no|why\W*$)\b",
    re.IGNORECASE,
)
_SOME_NAMES = 3
"""A question that names more can be searched for, and “his” is most often somebody that it names itself."""
_FEW_NAMES = 2
"""The same where nothing was said before: “it” often stands for nothing, as in “How long does it take to …”."""
_ENGLISH_SHARE = 0.25
"""Of a question and the one before, the least share of English words that say nothing on their own. It holds for 99.8 %
of English and .5 % of German and Chinese pairs of questions (XQuAD)."""
_LEAST_SHARE = 0.15
"""The same of the question alone: 99.8 % of English ones, 10 % of German and .5 % of Chinese ones."""


def goes_on(question: str, before: str) -> bool:
    """Whether it needs `before`, the question asked last, to be understood."""
    tokens = _tokens(question)
    if _english_share(tokens) < _LEAST_SHARE or _english_share(tokens + _tokens(before)) < _ENGLISH_SHARE:
        return True
    names = len(names_of(question))
    refers = names <= _SOME_NAMES and any(token.lower in _REFERRING for token in tokens)
    return refers or bool(_LEADING.match(question)) or names <= 1


def dangling(question: str) -> str | None:
    """The first word of an English question that stands for something it does not name; None when it names enough."""
    tokens = _tokens(question)
    if _english_share(tokens) < _ENGLISH_SHARE or len(names_of(question)) > _FEW_NAMES:
        return None
    return next((token.text for token in tokens if token.lower in _STANDING_FOR), None)


def names_of(question: str) -> frozenset[str]:
    """The stems of what can be looked for; none in “Why?” and “What about that one?”."""
    return frozenset(stem for token in _tokens(question) if token.lower not in _REFERRING for stem in token.stems)


def _tokens(text: str) -> list[Token]:
    return [token for _, token in tokens_of(text)]


def _english_share(tokens: list[Token]) -> float:
    """Of the words, those that are English and say nothing on their own."""
    words = [token for token in tokens if token.kind in {"word", "acronym", "cjk"}]
    return sum(token.stop_word for token in words) / max(len(words), 1)
