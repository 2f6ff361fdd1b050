"""Connect: settings whose two URLs are set, whoever provides the services."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pydantic import SecretStr

from app.domain.errors import ConfigurationError
from app.embedded.services import Endpoints, embedded_services, running_endpoints
from app.settings import Settings


@contextmanager
def connected(
    settings: Settings, *, share: bool = True, on_progress: Callable[[str], None] | None = None
) -> Iterator[Settings]:
    """Settings with DATABASE_URL and REDIS_URL set.

    When both are given, nothing embedded starts. Otherwise the services of the process that owns the data folder are
    used (`share`), or embedded ones started, migrated, and stopped at the end.
    Raises EmbeddedError, ConfigurationError.
    """
    if settings.database_url is not None and settings.redis_url is not None:
        yield settings
        return
    if settings.database_url is not None or settings.redis_url is not None:
        missing = "REDIS_URL" if settings.redis_url is None else "DATABASE_URL"
        raise ConfigurationError(
            f"{missing} is not set. Set both DATABASE_URL and REDIS_URL to use your own services, or neither to use "
            "embedded ones."
        )
    running = running_endpoints(settings.data_dir) if share else None
    if running is not None:
        yield _with(settings, running)
        return
    with embedded_services(settings.data_dir, on_progress=on_progress) as endpoints:
        from app.storage.schema import migrate  # noqa: PLC0415 - half a second, for embedded services alone

        migrate(endpoints.database_url)
        yield _with(settings, endpoints)


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment of a process that is to use the same services: this one's, DATABASE_URL and REDIS_URL.

    The settings are those of `connected`.
    """
    if settings.database_url is None or settings.redis_url is None:
        raise ValueError("The settings name no services.")
    return os.environ | {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
    }


def _with(settings: Settings, endpoints: Endpoints) -> Settings:
    return settings.model_copy(
        update={
            "database_url": SecretStr(endpoints.database_url),
            "redis_url": SecretStr(endpoints.redis_url),
        }
    )
