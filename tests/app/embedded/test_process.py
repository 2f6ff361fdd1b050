"""A server process that ends with its owner."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import app.embedded.process
from app.domain.errors import ServiceDidNotStart
from app.embedded.account import Account
from app.embedded.home import Home
from app.embedded.lock import is_locked, take_lock
from app.embedded.process import owned_process

STUBBORN = "trap '' TERM QUIT; echo up; while :; do sleep 0.1; done"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    lock = take_lock(tmp_path / "servers.lock", 0)
    assert lock is not None
    with lock:
        yield Home(tmp_path, tmp_path, Account(), lock, lambda step: None)


def test_one_that_ignores_signals_is_stopped_by_force(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.embedded.process, "_STOP_PATIENCE_S", 0.1)
    log = home.path / "log"
    with owned_process("It", ("/bin/sh", "-c", STUBBORN), home, log=log, stop_signal="TERM", advice="do") as process:
        process.wait_until(lambda: "up" in log.read_text())
        started = time.monotonic()
    assert time.monotonic() - started < 20
    home.lock.close()
    deadline = time.monotonic() + 20  # its watcher ends right after it
    while is_locked(home.path / "servers.lock"):
        assert time.monotonic() < deadline, "something that it started still runs"


def test_one_that_is_never_ready_says_so_with_its_log(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.embedded.process, "_START_PATIENCE_S", 0.1)
    command = ("/bin/sh", "-c", "echo thinking; exec sleep 60")
    with (
        pytest.raises(ServiceDidNotStart, match=r"(?s)It was not ready.*thinking.*or do\."),
        owned_process("It", command, home, log=home.path / "log", stop_signal="TERM", advice="do") as process,
    ):
        process.wait_until(lambda: False)


def test_one_that_ends_by_itself_is_no_trouble_to_stop(home: Home) -> None:
    command = ("/bin/sh", "-c", "exit 3")
    with (
        pytest.raises(ServiceDidNotStart, match=r"(?s)It failed\..*\(nothing\)"),
        owned_process("It", command, home, log=home.path / "log", stop_signal="TERM", advice="do") as process,
    ):
        process.wait()
