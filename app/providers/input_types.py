"""Input types: how an embedding model is told whether it reads a question or a passage, as its card says."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_NONE = "none"  # in the settings: no prefix, whatever the model is known to want


@dataclass(frozen=True, slots=True)
class InputType:
    """What tells one of the two: a prefix of every text, or fields of the request, or both."""

    prefix: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """In a word, for the identity of the vectors; empty when nothing is told."""
        return ",".join(filter(None, [self.prefix.strip(" :"), *map(str, self.fields.values())]))


@dataclass(frozen=True, slots=True)
class InputTypes:
    """A model's two."""

    query: InputType = InputType()
    passage: InputType = InputType()


def _prefixes(query: str, passage: str = "") -> InputTypes:
    return InputTypes(InputType(query), InputType(passage))


def _fields(name: str, query: str, passage: str) -> InputTypes:
    return InputTypes(InputType(fields={name: query}), InputType(fields={name: passage}))


_INSTRUCTED = _prefixes("Instruct: Given a question, retrieve passages that answer the question\nQuery: ")
_REPRESENTED = _prefixes("Represent this sentence for searching relevant passages: ")
# The first whose pattern is found in the model's name, whoever serves it and however it is spelt there.
_KNOWN = (
    (r"^voyage-", _fields("input_type", "query", "document")),
    (r"^jina-embeddings-v[345]", _fields("task", "retrieval.query", "retrieval.passage")),
    (r"^nvidia/.*embed", _fields("input_type", "query", "passage")),
    (r"\be5-.*instruct|qwen3-embedding|gte-qwen2.*instruct", _INSTRUCTED),
    (r"\be5-(small|base|large)", _prefixes("query: ", "passage: ")),
    (r"nomic-embed-text", _prefixes("search_query: ", "search_document: ")),
    (r"embeddinggemma", _prefixes("task: search result | query: ", "title: none | text: ")),
    (r"arctic-embed(2|.*v2\.)", _prefixes("query: ")),
    (r"arctic-embed|mxbai-embed|\bbge-(small|base|large)(?!-zh)", _REPRESENTED),
)


def known_input_types(model: str) -> InputTypes:
    """Those of a model by its name; nothing is told to one that is not known."""
    name = model.lower()
    return next((types for pattern, types in _KNOWN if re.search(pattern, name)), InputTypes())


def chosen_input_type(known: InputType, *, prefix: str | None, fields: Mapping[str, Any] | None) -> InputType:
    """The known one with what the settings say in its place, each for itself."""
    if prefix is not None and prefix.strip() == _NONE:
        prefix = ""
    return InputType(known.prefix if prefix is None else prefix, known.fields if fields is None else fields)
