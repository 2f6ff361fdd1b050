"""Valkey, embedded."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from app.embedded.binaries import valkey_binary
from app.embedded.home import Home
from app.embedded.process import owned_process
from app.embedded.sockets import VALKEY_SOCKET

_SETTINGS = {
    "port": "0",  # a socket only
    "unixsocketperm": "700",
    "save": "",
    "appendonly": "yes",
    "appendfsync": "everysec",  # killed processes lose nothing, a power cut at most a second
    "maxmemory": "256mb",
    # What has no lifetime is never dropped. Of the rest the longest untouched goes first: the logs of finished runs,
    # which PostgreSQL can tell again. (volatile-ttl would drop the leases of live runs first.)
    "maxmemory-policy": "volatile-lru",
    "maxmemory-samples": "10",
}


@contextmanager
def valkey_server(home: Home) -> Iterator[str]:
    """Run the server and yield its URL. Raises ServiceDidNotStart and OSError."""
    home.report("starting Valkey")
    folder, path = home.path / "valkey", home.sockets / VALKEY_SOCKET
    folder.mkdir(mode=0o700, exist_ok=True)
    home.account.give(folder)
    options = {**_SETTINGS, "dir": str(folder), "unixsocket": str(path)}
    with owned_process(
        "Valkey",
        [valkey_binary(), *(argument for name, value in options.items() for argument in (f"--{name}", value))],
        home,
        log=home.path / "valkey.log",
        stop_signal="TERM",
        advice="set REDIS_URL to a Redis or Valkey of your own",
    ) as process:
        process.wait_until(lambda: _answers(path))
        yield f"unix://{quote(str(path))}?db=0"


def _answers(path: Path) -> bool:
    """Whether it is up and has read its data (until then it answers `-LOADING`)."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.settimeout(5)
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(7) == b"+PONG\r\n"
        except OSError:
            return False
