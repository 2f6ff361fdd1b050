"""Tokenizer: cl100k_base, read from files inside an installed package, never downloaded."""

import os
from collections.abc import Sequence
from functools import lru_cache

import tiktoken

from app.providers.package_files import package_file

# tiktoken names a cached file by the SHA-1 of the address it would otherwise download it from; this one is cl100k_base.
_CL100K_BASE = "_static/tiktoken_cache/9b5ad71b2ce5302211f9c61530b329a4922fc6a4"


@lru_cache(maxsize=1)
def encoding() -> tiktoken.Encoding:
    """The cl100k_base encoding, loaded on first use (about half a second) and kept.

    Raises ConfigurationError when the package that carries its file is not installed.
    """
    # tiktoken has no other way to be told where its files are; finding the file first keeps it from downloading.
    os.environ["TIKTOKEN_CACHE_DIR"] = str(package_file("llama_index.core", _CL100K_BASE).parent)
    return tiktoken.get_encoding("cl100k_base")


def decode_tokens(tokens: Sequence[int]) -> str:
    """The text of cl100k_base tokens. Raises KeyError for one that does not exist."""
    return encoding().decode(tokens)


def count_tokens(text: str) -> int:
    """How many cl100k_base tokens `text` has; `<|endoftext|>` and the like in it are plain text."""
    return len(encoding().encode_ordinary(text))
