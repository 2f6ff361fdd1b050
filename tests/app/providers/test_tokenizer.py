"""Counting tokens, offline."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import ConfigurationError
from app.providers.package_files import package_file
from app.providers.tokenizer import count_tokens, encoding


def test_known_counts() -> None:
    assert encoding().name == "cl100k_base"
    assert [count_tokens(text) for text in ("", "hello world", "tiktoken is great!")] == [0, 2, 6]


def test_special_tokens_are_plain_text() -> None:
    assert count_tokens("<|endoftext|>") > 1


@given(st.text())
def test_tokens_are_the_text_again(text: str) -> None:
    assert encoding().decode(encoding().encode_ordinary(text)) == text
    assert count_tokens(text) <= len(text.encode())


def test_nothing_is_downloaded_and_no_framework_imported() -> None:
    script = (
        "import socket, sys\n"
        "def refuse(*_): raise AssertionError('a download')\n"
        "socket.socket.connect = refuse\n"
        "from app.providers.tokenizer import count_tokens\n"
        "print(count_tokens('hello world'), 'llama_index.core' in sys.modules)"
    )
    environment = {**os.environ, "TIKTOKEN_CACHE_DIR": "/nonexistent", "DATA_GYM_CACHE_DIR": "/nonexistent"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, env=environment)
    assert (done.stdout.strip(), done.stderr) == ("2 False", "")


@pytest.mark.parametrize(("package", "pattern"), [("no_such_package", "*"), ("tiktoken", "*.nonesuch")])
def test_a_missing_package_file_is_named(package: str, pattern: str) -> None:
    with pytest.raises(ConfigurationError, match=package):
        package_file(package, pattern)
