"""Redis faults: "it is not there", in all the ways in which the driver says so."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.domain.errors import RunLogUnavailable

GONE = (RedisConnectionError, RedisTimeoutError, OSError, RedisError)


@contextmanager
def run_log_unavailable() -> Iterator[None]:
    """Turns them into RunLogUnavailable."""
    try:
        yield
    except GONE as error:
        raise RunLogUnavailable(reason=str(error)) from error
