"""Serving: the HTTP server's life in this process, from its services to its last open stream."""

import asyncio
import errno
import gc
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn

from app.bootstrap import Services, open_services
from app.domain.errors import ConfigurationError
from app.main import create_app
from app.settings import Settings
from app.telemetry import configure_tracing

DRAIN_SHARE = 0.8  # of the grace period; the rest is for closing
BACKLOG = 2048  # connections that wait for a worker to accept them


class _Server(uvicorn.Server):
    """uvicorn, which ends its `serve` on SIGINT and SIGTERM and leaves the rest to us.

    By default it raises the signal again afterwards, which would end the process before the services are closed.
    """

    def __init__(self, config: uvicorn.Config, services: Services, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._services = services
        self._on_started = on_started
        self._leaving: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer requests."""
        await super().startup(sockets)
        if self.started:
            self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what is open, also at a second Ctrl-C, after which uvicorn leaves the app to a traceback."""
        await super().shutdown(sockets)
        if self.force_exit:
            await self.lifespan.shutdown()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take no more connections; answers go to other workers, or get the time there is."""
        super().handle_exit(sig, frame)
        if self._leaving is None:
            self._leaving = asyncio.get_running_loop().create_task(self._leave(), name="leaving")

    async def _leave(self) -> None:
        """Bring the answers to safety in most of the grace period, then let the readers go that are still here."""
        grace_s = self._services.settings.shutdown_grace_s * DRAIN_SHARE
        began = asyncio.get_running_loop().time()
        await self._services.runs.close(grace_s)
        # an answer that another worker goes on with is still read here
        await asyncio.sleep(max(0.0, began + grace_s - asyncio.get_running_loop().time()))
        self._services.run_log.let_go()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End `serve` at a signal."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            if self._leaving is not None:
                self._leaving.cancel()
            for number in numbers:
                loop.remove_signal_handler(number)


@contextmanager
def listening(settings: Settings) -> Iterator[socket.socket]:
    """The bound socket, to be had before anything is started for nothing.

    Raises ConfigurationError when the address is not safe, is not this machine's, or the port is taken.
    """
    settings.require_safe_listener()
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
            # Bound alone, it would let another process bind the same port, and one of both fail when all is started.
            listener.listen(BACKLOG)
        except OSError as error:
            advice = {
                errno.EADDRINUSE: f"Stop what uses it, or choose another with --port {settings.port % 65535 + 1}.",
                errno.EACCES: "Only root may use ports below 1024; choose another with --port 8000.",
            }.get(error.errno or 0, "Choose an address of this machine with --host.")
            raise ConfigurationError(
                f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}. {advice}"
            ) from error
        yield listener


def serve(settings: Settings, listener: socket.socket, *, on_started: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; `on_started` is given the URL once requests are answered.

    Raises whatever keeps the services from opening.
    """

    configure_tracing()

    async def run() -> None:
        async with open_services(settings) as services:
            config = uvicorn.Config(
                create_app(settings, services),
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=max(1, round(settings.shutdown_grace_s)),
            )
            config.load()
            quieten_garbage_collector()
            server = _Server(config, services, lambda: on_started(url_of(settings, listener)))
            await asyncio.sleep(0)  # Ctrl-C until now ends this here; uvicorn would log its own end as an error
            await server.serve([listener])

    with asyncio.Runner(loop_factory=event_loop()) as runner:
        runner.run(run())


def event_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Makes the fastest event loop there is on this platform, as uvicorn would choose it."""
    return uvicorn.Config("app.main:create_app", factory=True).get_loop_factory()


def quieten_garbage_collector() -> None:
    """Let it leave alone what is loaded by now, which stays until the end, and look at the rest less often.

    Each look at everything would stop every answer for up to 200 ms, and Python's own thresholds are made for programs
    that run briefly.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def url_of(settings: Settings, listener: socket.socket) -> str:
    """Where the listener can be reached."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{listener.getsockname()[1]}"
