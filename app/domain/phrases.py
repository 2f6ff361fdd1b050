"""Phrases: words in quotes, which a passage must hold as they stand."""

import re

# “English”, „German“ and »German«, «French», ”Swedish” and »Swedish»
_QUOTED = re.compile(r'(?:["“„«](?=[^"“”„«»]+["”“»])|»(?=[^"“”„«»]+[«»])|”(?=[^"“”„«»]+”))([^"“”„«»]+).')
PROSE_CHARS = 100  # with so much outside of its quotes, a text was pasted and its quotes are punctuation


def quoted_phrases(text: str) -> tuple[str, ...]:
    """What stands in double quotes of any form, each once; nothing where the quotes are those of a longer text."""
    if len(_QUOTED.sub(" ", text).strip()) > PROSE_CHARS:
        return ()
    return tuple(dict.fromkeys(phrase for phrase in _QUOTED.findall(text) if phrase.strip()))


def without_quotes(text: str) -> str:
    """The text with the words in quotes, without the quotes."""
    return _QUOTED.sub(r"\1", text)
