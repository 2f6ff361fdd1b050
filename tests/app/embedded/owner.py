"""An owner: a process that runs the embedded services of a folder, to be looked at and killed by tests."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from app.embedded.services import embedded_services, record_address

ADDRESS = "http://127.0.0.1:8123"


class OwnerProcess:
    """A running owner; its output tells each step of its start, then `ready`."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.app.embedded.owner", str(folder), *options], stdout=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid

    def wait_for(self, step: str) -> None:
        """Read its output up to a line that begins so."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(step):
                return
        raise AssertionError(f"the owner ended before {step!r}")

    def started(self) -> list[psutil.Process]:
        """The processes that it started, and theirs."""
        return psutil.Process(self.pid).children(recursive=True)

    def kill(self) -> list[psutil.Process]:
        """Kill it with SIGKILL; returns what it had started."""
        started = self.started()
        with self._process:
            self._process.kill()
        return started


def wait_until_dead(processes: list[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Wait; returns those that still run. A dead process that nobody has collected yet does not run."""
    deadline = time.monotonic() + timeout_s
    while (running := [process for process in processes if _runs(process)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return running


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _say(step: str) -> None:
    sys.stdout.write(f"{step}\n")
    sys.stdout.flush()


def _main(folder: Path, options: list[str]) -> None:
    with embedded_services(folder, on_progress=_say):
        record_address(folder, ADDRESS)
        if "fork" in options and os.fork() == 0:  # like a worker of multiprocessing
            time.sleep(30)
            os._exit(0)
        _say("ready")
        time.sleep(60)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2:])
