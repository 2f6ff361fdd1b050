"""`footnote up` and `footnote serve` in this process: what they say, serve and record, and that a signal ends them."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import httpx
import pytest
from sse_starlette.sse import AppStatus

from app import cli, commands
from app.domain.errors import ConfigurationError
from app.embedded.connect import environment_of
from app.embedded.services import owner_of
from app.serving import listening
from app.settings import Settings
from tests.fixtures.installation import free_port


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder for the deterministic models."""
    monkeypatch.setenv("FOOTNOTE_CHAT_MODEL", "scripted")
    monkeypatch.setenv("FOOTNOTE_EMBEDDER", "scripted")
    monkeypatch.setenv("FOOTNOTE_MIN_EVIDENCE", "0")
    monkeypatch.setenv("FOOTNOTE_LOG_LEVEL", "error")
    monkeypatch.setattr(AppStatus, "should_exit", False)  # after a signal every later stream of the process would end
    with tempfile.TemporaryDirectory(prefix="fn-") as path:
        monkeypatch.setenv("FOOTNOTE_DATA_DIR", path)
        yield Path(path)


@contextmanager
def meanwhile(work: Callable[[], None]) -> Iterator[list[BaseException]]:
    """Runs work in a thread while the command occupies this one, then ends the command as Ctrl-C does."""
    faults: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except (AssertionError, httpx.HTTPError, pytest.fail.Exception) as fault:
            faults.append(fault)
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=run)
    thread.start()
    yield faults
    thread.join()
    assert faults == []


def answers(url: str) -> httpx.Response:
    """The first answer of a server that may still be starting."""
    deadline = time.monotonic() + 240
    while True:
        try:
            return httpx.get(f"{url}/readyz")
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The exit code of `footnote ARGUMENTS…`."""
    monkeypatch.setattr(sys, "argv", ["footnote", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_up_serves_the_page_and_the_handbook_and_ends_with_a_signal(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"

    def look() -> None:
        assert answers(url).json()["status"] == "ready"
        owner = owner_of(folder)
        assert owner is not None
        assert (owner.pid, owner.address) == (os.getpid(), url)
        collections = httpx.get(f"{url}/v1/collections").json()["collections"]
        assert [c["name"] for c in collections] == [commands.HANDBOOK]
        assert collections[0]["documents"] == len(list((Path(cli.__file__).parents[1] / "docs").glob("*.md")))

    with meanwhile(look):
        assert run(monkeypatch, "up", "--port", port) == 0
    err = capsys.readouterr().err
    assert f"Footnote is ready: {url}" in err
    assert "ingesting the handbook" in err
    assert owner_of(folder) is None

    # the second time, the handbook is brought up to date while the server runs
    monkeypatch.setattr(commands, "_HANDBOOK_AFTER_S", 0)
    with meanwhile(lambda: None if answers(url).json()["status"] == "ready" else pytest.fail("not ready")):
        assert run(monkeypatch, "up", "--port", port) == 0
    assert "ingesting the handbook" not in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("command", "host", "said"),
    [
        (("serve", "--host", "::1"), "[::1]", "serving on"),
        (("up", "--no-handbook"), "127.0.0.1", "Footnote is ready:"),
    ],
)
def test_the_services_of_the_two_urls_are_used(
    command: tuple[str, ...],
    host: str,
    said: str,
    database_url: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    port = free_port()
    url = f"http://{host}:{port}"
    with meanwhile(lambda: None if answers(url).json()["status"] == "ready" else pytest.fail("not ready")):
        assert run(monkeypatch, *command, "--port", port) == 0
    assert f"{said} {url}" in capsys.readouterr().err


def test_a_port_is_taken_before_it_is_served() -> None:
    settings = Settings(port=free_port())
    with listening(settings), pytest.raises(ConfigurationError, match="Address already in use"), listening(settings):
        pass


def test_an_address_of_another_machine_is_not_told_to_change_the_port() -> None:
    settings = Settings(host="192.0.2.1", api_keys="a key of sixteen characters", port=free_port())
    with pytest.raises(ConfigurationError, match="--host"), listening(settings):
        pass


def test_ctrl_c_is_for_the_first_process_which_ends_the_others(settings: Settings) -> None:
    others = commands._start(settings, "worker", "--until-eof")
    try:
        assert os.getsid(others.pid) == others.pid
    finally:
        commands._end(others)
    assert others.returncode is not None


def test_a_worker_that_was_killed_is_followed_by_another(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(commands, "_WORKER_AGAIN_AFTER_S", 0)
    started: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
    start = commands._start

    def starting(*arguments: Any) -> subprocess.Popen[bytes]:
        process = start(*arguments)
        started.put(process)
        return process

    monkeypatch.setattr(commands, "_start", starting)
    with commands._worker(settings) as start_worker:
        start_worker()
        started.get(timeout=30).kill()
        second = started.get(timeout=30)
        assert second.poll() is None
    assert second.returncode is not None
    assert started.empty(), "none follows the last one"
    assert "has ended (exit code -9)" in capsys.readouterr().err


def test_a_worker_that_cannot_begin_says_why_and_no_more(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "footnote.toml").write_text("[sources.a]\n")
    environment = environment_of(settings) | {"FOOTNOTE_EMBEDDER": "scripted"}
    command = [sys.executable, "-m", "app.cli", "worker", "--until-eof"]
    with subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as worker:
        assert worker.stderr is not None
        said = worker.stderr.read().decode()  # its input is open all the while
    assert said.startswith("footnote: footnote.toml is not usable.")
    assert "Fatal" not in said
    assert worker.returncode == 2
