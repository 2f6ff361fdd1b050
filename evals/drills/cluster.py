"""Cluster: a Ray cluster of several nodes on this machine, whose nodes can be killed."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

import psutil

START_S = 60.0
_STORE_BYTES = 100_000_000  # of each node's shared memory
_STARTED = re.compile(r"Ray runtime started")


class Node:
    """One node: `ray start` and all that it started."""

    def __init__(self, arguments: list[str], log: Path) -> None:
        """Start it and wait until it is part of the cluster."""
        command = [
            str(Path(sys.executable).with_name("ray")),
            "start",
            "--block",
            "--disable-usage-stats",
            "--min-worker-port=0",  # any that is free: the nodes share this machine's ports
            "--max-worker-port=0",
            f"--object-store-memory={_STORE_BYTES}",
            *arguments,
        ]
        with log.open("w") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=_environment())
        deadline = time.monotonic() + START_S
        while not _STARTED.search(log.read_text()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"a Ray node did not start:\n{log.read_text()}")
            time.sleep(0.1)

    def kill(self) -> None:
        """End every process of it with SIGKILL, as if the machine had lost its power."""
        if self._process.poll() is None:
            main = psutil.Process(self._process.pid)
            for process in [main, *main.children(recursive=True)]:
                try:
                    process.kill()
                except psutil.NoSuchProcess:  # it ended with its parent
                    continue
        self._process.wait()


class LocalCluster:
    """A cluster; a context manager. `address` is for RAY_ADDRESS, `client_address` for `--on`."""

    def __init__(self, *processors: int) -> None:
        """A node for each number of processors; the first is the head."""
        self._processors = processors
        self.nodes: list[Node] = []
        self.address = ""
        self.client_address = ""

    def __enter__(self) -> "LocalCluster":
        self._folder = TemporaryDirectory(prefix="fn-ray-")  # its paths name sockets, so they must be short
        try:
            head, *others = self._processors
            try:
                self._start_head(head)
            except RuntimeError:  # another process may have taken one of its ports meanwhile
                self._start_head(head)
            for processors in others:
                self._start([f"--address={self.address}"], processors)
        except RuntimeError:
            self.__exit__(None, None, None)
            raise
        return self

    def _start_head(self, processors: int) -> None:
        port, client_port = _free_ports(2)
        self.address, self.client_address = f"127.0.0.1:{port}", f"ray://127.0.0.1:{client_port}"
        self._start(
            [
                "--head",
                "--include-dashboard=false",
                f"--port={port}",
                f"--ray-client-server-port={client_port}",
                f"--temp-dir={self._folder.name}",
            ],
            processors,
        )

    def _start(self, where: list[str], processors: int) -> None:
        log = Path(self._folder.name) / f"node-{len(self.nodes)}.log"
        self.nodes.append(Node([*where, f"--num-cpus={processors}"], log))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in reversed(self.nodes):
            node.kill()
        self._folder.cleanup()


def _environment() -> dict[str, str]:
    """Without what tests set for their own processes, and without sending nodes a folder of `uv run` to install."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "COV_"))}
    return kept | {"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()
