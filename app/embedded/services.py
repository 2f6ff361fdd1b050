"""The embedded services: a PostgreSQL and a Valkey of our own in one folder, as long as this process lives."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from app.domain.errors import FolderNotWritable
from app.embedded.account import account_for
from app.embedded.folder import owned_folder
from app.embedded.home import Home
from app.embedded.postgres import postgres_server
from app.embedded.record import Endpoints, Owner, owner_of, record_address, record_owner, running_endpoints
from app.embedded.sockets import socket_folder
from app.embedded.valkey import valkey_server

__all__ = ["Endpoints", "Owner", "embedded_services", "owner_of", "record_address", "running_endpoints"]


@contextmanager
def embedded_services(
    data_dir: Path,
    *,
    on_progress: Callable[[str], None] | None = None,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Endpoints]:
    """Own the folder, start both servers on its data, and yield where they are; stop them at the exit.

    They stop with this process however it dies; what was committed is kept. `on_progress` is told each step;
    `settings` are PostgreSQL's and override ours. Raises FolderInUse, FolderNotWritable and ServiceDidNotStart.
    """
    with ExitStack() as stack:
        try:
            endpoints = _start(stack, data_dir, on_progress or (lambda _step: None), settings or {})
        except OSError as error:
            reason = f"{error.strerror}: {error.filename}" if error.filename else str(error)
            raise FolderNotWritable(
                f"The folder {data_dir.absolute()} cannot be used ({reason}). Make it writable for this user, "
                "or choose another with --data-dir (FOOTNOTE_DATA_DIR)."
            ) from error
        yield endpoints


def _start(stack: ExitStack, data_dir: Path, report: Callable[[str], None], settings: Mapping[str, str]) -> Endpoints:
    """Start both servers, to be stopped by the stack, and publish where they are."""
    folder = stack.enter_context(owned_folder(data_dir, report))
    account = account_for(folder.path)
    sockets = stack.enter_context(socket_folder(folder.path, account))
    home = Home(folder.path, sockets, account, folder.servers_lock, report)
    redis_url = stack.enter_context(valkey_server(home))
    database_url = stack.enter_context(postgres_server(home, settings))
    endpoints = Endpoints(database_url, redis_url)
    record_owner(folder.path, endpoints)
    return endpoints
