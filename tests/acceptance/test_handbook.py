"""The handbook's commands: every one of them is run as it stands there."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.fixtures.installation import Installation, free_port

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = [
    (page.name, command)
    for page in PAGES
    for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    for command in re.sub(r"\\\n\s*", "", block).splitlines()
]
SERVERS = ("uv run footnote up", "uv run footnote serve")


@dataclass
class Reader:
    """Someone who types the handbook's commands on a machine where Footnote is running."""

    running: Installation
    environment: dict[str, str]
    folder: Path

    def type(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run it; when the answer says to set settings (as `footnote reindex` does), they are set from then on."""
        command = command.replace(":8000", f":{self.running.port}").replace("/tmp/", f"{self.folder}/")
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        for advice in re.findall(r"^Set ((?:FOOTNOTE_\w+=\S+ )+)", done.stdout + done.stderr, re.MULTILINE):
            self.environment |= dict(setting.split("=", 1) for setting in advice.split())
        return done


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """`uv run` is the environment that the tests run in; nothing is installed anew."""
    shim = tmp_path_factory.mktemp("bin") / "uv"
    shim.write_text('#!/bin/sh\n[ "$1" = run ] || { echo "unexpected: uv $*" >&2; exit 9; }\nshift\nexec "$@"\n')
    shim.chmod(0o755)
    with Installation.start(handbook=True) as running:
        path = os.pathsep.join([str(shim.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
        variables = {"PATH": path, "FOOTNOTE_SOURCES_FILE": str(_declared(tmp_path_factory.mktemp("sources")))}
        yield Reader(running, running.environment | variables, tmp_path_factory.mktemp("files"))


def _declared(folder: Path) -> Path:
    """The first sources that docs/sync.md declares, and the files that they name."""
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copy(ROOT / "README.md", folder)
    toml = re.search(r"^```toml\n(.*?)^```", (ROOT / "docs" / "sync.md").read_text(), re.MULTILINE | re.DOTALL)
    assert toml
    (folder / "footnote.toml").write_text(toml[1])
    return folder / "footnote.toml"


@pytest.mark.parametrize(("page", "command"), [c for c in COMMANDS if not c[1].startswith((*SERVERS, "uv run pytest"))])
def test_a_command_works(reader: Reader, page: str, command: str) -> None:
    done = reader.type(command)
    assert done.returncode == 0, (page, command, done.stdout, done.stderr)
    assert done.stdout or done.stderr
    if command.startswith("curl -N"):
        assert "event: run.completed" in done.stdout


@pytest.mark.parametrize(("page", "command"), [c for c in COMMANDS if c[1].startswith(SERVERS)])
def test_a_server_starts_and_stops(reader: Reader, page: str, command: str, tmp_path: Path) -> None:
    port = free_port()
    command = re.sub(r" --port \d+", "", command).replace("/srv/footnote-data", str(tmp_path / "data"))
    environment = reader.environment | {"FOOTNOTE_PORT": str(port)}
    if " serve" not in command:  # a second one beside the running one has a folder of its own
        environment |= {"FOOTNOTE_DATA_DIR": str(tmp_path / "own")}
    else:
        environment |= reader.running.urls()
    server = subprocess.Popen(
        ["bash", "-c", f"exec {command}"], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and server.poll() is None:
            try:
                assert httpx.get(f"http://127.0.0.1:{port}/readyz").json()["status"] == "ready"
                break
            except httpx.TransportError:
                time.sleep(0.1)
        else:
            pytest.fail(f"{page}: {command}: {server.communicate(timeout=10)}")
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0
        assert server.stderr is not None
        server.stderr.close()


def test_the_commands_were_found() -> None:
    assert len(COMMANDS) > 10
    assert any(page == "README.md" and command == "uv run pytest" for page, command in COMMANDS)
