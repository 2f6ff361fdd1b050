"""Workers: several processes that serve one address and share nothing but PostgreSQL and Redis."""

import os
import socket
import threading
from collections.abc import Callable
from tempfile import TemporaryDirectory

import structlog
import uvicorn
from prometheus_client.multiprocess import mark_process_dead
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from app.bootstrap import open_services
from app.serving import serve, url_of
from app.settings import Settings
from app.telemetry import configure_logging

log = structlog.get_logger()

READY_S = 60


async def check_services(settings: Settings) -> None:
    """Raise what would keep a worker from starting: ConfigurationError and its kinds, DatabaseUnavailable."""
    async with open_services(settings, worker=False):
        return


def serve_with(settings: Settings, listener: socket.socket, workers: int, *, on_started: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; `on_started` is given the URL once every worker answers requests.

    A worker that dies, or hangs for 5 seconds, is replaced. SIGHUP replaces them one after the other, each handing its
    answers over; SIGTTIN and SIGTTOU add and take away one.
    """
    configure_logging(level=settings.log_level, json=settings.log_format == "json")
    with TemporaryDirectory(prefix="footnote-metrics-") as folder:
        # read by prometheus_client in each worker, so that any of them can tell the metrics of all
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        try:
            _Workers(settings, listener, workers, lambda: on_started(url_of(settings, listener))).run()
        finally:
            del os.environ["PROMETHEUS_MULTIPROC_DIR"]


class _Worker(Process):
    """One process."""

    def __init__(self, config: uvicorn.Config, settings: Settings, listener: socket.socket) -> None:
        self._settings = settings
        self._started = False
        super().__init__(config, [listener])

    def pong(self) -> None:
        """Tell the parent whether requests are answered."""
        self.child_conn.recv()
        self.child_conn.send(self._started)

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """What the process does."""
        assert sockets is not None  # noqa: S101 - given by __init__
        configure_logging(level=self._settings.log_level, json=self._settings.log_format == "json")
        threading.Thread(target=self._answer_parent, daemon=True).start()
        serve(self._settings, sockets[0], on_started=self._set_started)

    def _set_started(self, _url: str) -> None:
        self._started = True

    def _answer_parent(self) -> None:
        try:
            self.always_pong()
        except (EOFError, OSError):  # the parent is gone, so nobody would end or replace this process
            os.kill(os.getpid(), 15)


class _Workers(Multiprocess):
    """uvicorn's supervisor, with our workers."""

    def __init__(
        self, settings: Settings, listener: socket.socket, workers: int, on_started: Callable[[], None]
    ) -> None:
        super().__init__(uvicorn.Config("app.main:create_app", log_config=None, workers=workers), [listener])
        self._settings = settings
        self._on_started = on_started

    def _new(self) -> _Worker:
        return _Worker(self.config, self._settings, self.sockets[0])

    def init_processes(self) -> None:
        """Start them all."""
        self.processes = [self._new() for _ in range(self.processes_num)]
        for process in self.processes:
            process.start()
        if all(process.wait_until_ready(READY_S, self.should_exit) for process in self.processes):
            self._on_started()

    def keep_subprocess_alive(self) -> None:
        """Replace those that died or hang."""
        for place, process in enumerate(self.processes):
            if self.should_exit.is_set() or process.is_alive(timeout=self.config.timeout_worker_healthcheck):
                continue
            process.kill()
            process.join()
            log.warning("worker.replaced", pid=process.pid, exit_code=process.exitcode)
            _uncount(process)
            self.processes[place] = self._new()
            self.processes[place].start()

    def restart_all(self) -> None:
        """Replace each by a new one that answers before the old one leaves."""
        for place, process in enumerate(self.processes):
            successor = self._new()
            successor.start()
            if not successor.wait_until_ready(READY_S, self.should_exit):
                log.error("worker.not_ready", pid=successor.pid)
                successor.kill()
                successor.join()
                _uncount(successor)
                return
            process.terminate()
            process.join()
            _uncount(process)
            self.processes[place] = successor

    def handle_ttin(self) -> None:
        """One more."""
        self.processes_num += 1
        self.processes.append(self._new())
        self.processes[-1].start()

    def handle_ttou(self) -> None:
        """One less."""
        last = self.processes[-1]
        super().handle_ttou()
        if last not in self.processes:
            _uncount(last)


def _uncount(process: Process) -> None:
    """Let `/metrics` tell no more what a process that has ended was doing last."""
    if process.pid is not None:
        mark_process_dead(process.pid)  # type: ignore[no-untyped-call]
