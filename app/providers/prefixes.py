"""Prefixes: what an embedding model wants to read before a question and before a passage, as its card says."""

import re
from dataclasses import dataclass

_NONE = "none"  # in the settings: no prefix, whatever the model is known to want


@dataclass(frozen=True, slots=True)
class Prefixes:
    """What stands before each text that is embedded."""

    query: str = ""
    passage: str = ""


_INSTRUCTED = Prefixes("Instruct: Given a question, retrieve passages that answer the question\nQuery: ")
_REPRESENTED = Prefixes("Represent this sentence for searching relevant passages: ")
# The first whose pattern is found in the model's name, whoever serves it and however it is spelt there.
_KNOWN = (
    (r"\be5-.*instruct|qwen3-embedding|gte-qwen2.*instruct", _INSTRUCTED),
    (r"\be5-(small|base|large)", Prefixes("query: ", "passage: ")),
    (r"nomic-embed-text", Prefixes("search_query: ", "search_document: ")),
    (r"embeddinggemma", Prefixes("task: search result | query: ", "title: none | text: ")),
    (r"arctic-embed(2|.*v2\.)", Prefixes("query: ")),
    (r"arctic-embed|mxbai-embed|\bbge-(small|base|large)(?!-zh)", _REPRESENTED),
)


def prefixes_of(model: str, *, query: str | None = None, passage: str | None = None) -> Prefixes:
    """The prefixes of a model by its name; `query` and `passage`, if set, take the place of what is known."""
    name = model.lower()
    known = next((prefixes for pattern, prefixes in _KNOWN if re.search(pattern, name)), Prefixes())
    return Prefixes(_chosen(query, known.query), _chosen(passage, known.passage))


def _chosen(asked: str | None, known: str) -> str:
    if asked is None:
        return known
    return "" if asked.strip() == _NONE else asked
