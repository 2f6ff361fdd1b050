"""Fixtures of every test: real PostgreSQL and Valkey, a database for each, no way out of this machine."""

import ipaddress
import logging
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

_FIXTURES = "services server documents installation proxy reindexing syncing contextual node website"
_FIXTURES += " mongo_server mariadb_server"
pytest_plugins = [f"tests.fixtures.{name}" for name in _FIXTURES.split()]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of whoever runs the tests do not reach them, and no key of a paid model does."""
    for name in list(os.environ):
        if name.startswith("FOOTNOTE_") or name.endswith("_API_KEY") or name in {"DATABASE_URL", "REDIS_URL"}:
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A command run in this process sets up logging to a stream that ends with its test, and quiet levels."""
    root = logging.getLogger()
    handlers = root.handlers[:]
    loggers = [root, *(x for x in root.manager.loggerDict.values() if isinstance(x, logging.Logger))]
    levels = [(logger, logger.level) for logger in loggers]
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    for logger, level in levels:
        if logger.level != level:  # setting a level clears the cache of every logger
            logger.setLevel(level)


@pytest.fixture(autouse=True, scope="session")
def _no_way_out() -> Iterator[None]:
    """A connection that leaves this machine fails the test that makes it."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in {socket.AF_INET, socket.AF_INET6} and not ipaddress.ip_address(address[0]).is_loopback:
            raise AssertionError(f"a test tried to reach {address[0]}:{address[1]}")
        connect(self, address)

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", guarded)
    yield
    patch.undo()
