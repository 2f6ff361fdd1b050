"""Fleet: `footnote serve --workers` on services that a drill can take away, in folders that are gone afterwards."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import psutil

from app.domain.errors import ServiceDidNotStart
from app.settings import load_settings

START_S = 120
SETTINGS = {
    "FOOTNOTE_CHAT_MODEL": "scripted",
    "FOOTNOTE_EMBEDDER": "scripted",
    "FOOTNOTE_MIN_EVIDENCE": "0",
    "FOOTNOTE_LOG_LEVEL": "error",
    "FOOTNOTE_RUN_LEASE_S": "2",
}
_HOLD = """
import sys
from pathlib import Path
from app.embedded.services import embedded_services
with embedded_services(Path(sys.argv[1])) as endpoints:
    print(endpoints.database_url, endpoints.redis_url, flush=True)
    sys.stdin.read()
"""


class Service:
    """A PostgreSQL or a Valkey on data of its own, which can be stopped, killed and started again."""

    def __init__(self, folder: Path, *, of_redis: bool) -> None:
        self._folder = folder
        self._of_redis = of_redis
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self) -> None:
        """Start it; when this returns it answers. Raises ServiceDidNotStart."""
        self._process = subprocess.Popen(
            [sys.executable, "-c", _HOLD, str(self._folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None  # noqa: S101 - a pipe
        urls = self._process.stdout.readline().split()
        if not urls:
            raise ServiceDidNotStart("The services of the drill did not start; their own lines above say why.")
        self.url = urls[int(self._of_redis)]

    def stop(self) -> None:
        """End it in good order; when this returns it is gone."""
        if self._process is not None:
            self._process.communicate("")

    def kill(self) -> None:
        """End it with kill -9: the server itself first, its owner thereafter."""
        assert self._process is not None  # noqa: S101 - started
        name = "valkey-server" if self._of_redis else "postgres"
        for child in psutil.Process(self._process.pid).children(recursive=True):
            if child.is_running() and name in child.name():
                child.kill()
        self._process.kill()
        self._process.communicate()
        time.sleep(0.1)


@dataclass(frozen=True, slots=True)
class Fleet:
    """What runs: the address, the parent of the workers, the services."""

    url: str
    parent: subprocess.Popen[bytes]
    database: Service
    redis: Service

    @property
    def workers(self) -> list[psutil.Process]:
        """The workers that live now."""
        try:
            children = psutil.Process(self.parent.pid).children()
            return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        except psutil.Error:  # one of them ended meanwhile
            return []

    def workers_at_least(self, number: int) -> list[psutil.Process]:
        """The workers, once there are so many."""
        while len(workers := self.workers) < number:
            time.sleep(0.05)
        return workers

    def healthy_after(self, limit_s: float = 60) -> float:
        """Seconds until `/readyz` says ready. Raises TimeoutError after `limit_s`."""
        began = time.monotonic()
        while time.monotonic() - began < limit_s:
            try:
                if httpx.get(f"{self.url}/readyz", timeout=5).json()["status"] == "ready":
                    return time.monotonic() - began
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise TimeoutError(f"not ready after {limit_s} s")


@contextmanager
def fleet(workers: int, settings: Mapping[str, str]) -> Iterator[Fleet]:
    """Services, the handbook ingested, and `workers` that answer. Raises ServiceDidNotStart."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="fn-drill-")))
        database, redis = Service(folder / "p", of_redis=False), Service(folder / "r", of_redis=True)
        for service in (database, redis):
            service.start()
            stack.callback(service.stop)
        environment = os.environ | SETTINGS | dict(settings) | {"DATABASE_URL": database.url, "REDIS_URL": redis.url}
        handbook = [str(path) for path in sorted(load_settings().handbook_dir.glob("*.md"))]
        for command in (["migrate"], ["ingest", *handbook, "--collection", "handbook", "--json"]):
            subprocess.run(
                [sys.executable, "-m", "app.cli", *command], env=environment, check=True, stdout=subprocess.DEVNULL
            )
        port = free_port()
        command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port), "--workers", str(workers)]
        with subprocess.Popen(command, env=environment) as parent:
            try:
                running = Fleet(f"http://127.0.0.1:{port}", parent, database, redis)
                deadline = time.monotonic() + START_S
                while not ((workers == 1 or len(running.workers) == workers) and _answers(running.url)):
                    if parent.poll() is not None or time.monotonic() > deadline:
                        raise ServiceDidNotStart("`footnote serve` did not start; its own lines above say why.")
                    time.sleep(0.1)
                yield running
            finally:
                parent.send_signal(signal.SIGTERM)
                parent.wait(60)


def _answers(url: str) -> bool:
    try:
        return bool(httpx.get(f"{url}/readyz").json()["status"] == "ready")
    except httpx.TransportError:
        return False


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
