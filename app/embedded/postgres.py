"""PostgreSQL with pgvector, embedded: its cluster, its database, its server."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg

from app.domain.errors import ServiceDidNotStart
from app.embedded.binaries import postgres_binary
from app.embedded.home import Home
from app.embedded.memory import memory_bytes
from app.embedded.process import OwnedProcess, owned_process
from app.embedded.sockets import POSTGRES_PORT

_NAME = "footnote"  # of the database and of the role that owns it
_LOG = "postgres.log"
_BUFFERS_MB = (128, 2048)
# fsync and synchronous_commit stay on: what was committed is kept.
_SETTINGS = {
    "listen_addresses": "",  # sockets only
    "port": str(POSTGRES_PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "io_method": "sync",  # what the system has cached is read sooner than handed over by a worker process
    "maintenance_work_mem": "256MB",  # an HNSW build that does not fit into it takes three times as long
    "dynamic_shared_memory_type": "mmap",  # containers keep /dev/shm at 64 MB; a parallel HNSW build needs more
    "huge_pages": "off",  # a container may see them and still not be allowed to use them
    "jit": "off",  # queries here are short
    "random_page_cost": "1.1",  # no spinning disks
    "wal_level": "minimal",  # nobody replicates from here; first loads and index builds write less
    "max_wal_senders": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "cluster_name": "footnote",
}


@contextmanager
def postgres_server(home: Home, settings: Mapping[str, str]) -> Iterator[str]:
    """Run the server and yield the URL of the database `footnote`; both are made at the first start.

    `settings` override ours. Raises ServiceDidNotStart and OSError.
    """
    cluster, log, sockets = home.path / "postgres", home.path / _LOG, home.sockets
    if not (cluster / "PG_VERSION").exists():
        home.report("creating the database (once)")
        _create_cluster(cluster, home, sync=settings.get("fsync") != "off")
    home.account.give(cluster)
    # The lock says that no server of ours runs, so this one is stale; its number may be another process's by now.
    (cluster / "postmaster.pid").unlink(missing_ok=True)

    home.report("starting PostgreSQL")
    memory = {"shared_buffers": f"{shared_buffers_mb()}MB"}
    options = {
        **_SETTINGS,
        **memory,
        **settings,
        "unix_socket_directories": '"{}"'.format(str(sockets).replace('"', '""')),
    }
    arguments = [argument for name, value in options.items() for argument in ("-c", f"{name}={value}")]
    with _process("PostgreSQL", ["postgres", "-D", cluster, *arguments], home, stop_signal="INT") as process:
        process.wait_until(lambda: _answers(sockets))
        try:
            _create_database(sockets)
        except psycopg.Error as error:
            raise ServiceDidNotStart(f"PostgreSQL runs but cannot make its database, see {log}: {error}") from error
        yield f"postgresql://{_NAME}@/{_NAME}?host={quote(str(sockets))}&port={POSTGRES_PORT}"


def shared_buffers_mb() -> int:
    """An eighth of the memory: a search reads its indexes here. Pages are taken when there is data for them."""
    return min(max(memory_bytes() // 8 // 2**20, _BUFFERS_MB[0]), _BUFFERS_MB[1])


def _create_cluster(cluster: Path, home: Home, *, sync: bool) -> None:
    """Make an empty cluster; under another name until it is complete."""
    if cluster.exists() and any(cluster.iterdir()):
        raise ServiceDidNotStart(
            f"{cluster} is not empty and holds no PostgreSQL cluster; move it away, or choose another --data-dir."
        )
    draft = cluster.with_suffix(".new")
    if draft.exists():
        shutil.rmtree(draft)
    draft.mkdir(mode=0o700)
    home.account.give(draft)
    # C.UTF-8 of PostgreSQL itself: the same order of text on every system.
    locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    options = ("--set", "huge_pages=off", *(() if sync else ("--no-sync",)))
    command = ("initdb", "-D", draft, "--username=postgres", "--auth=trust", *locale, *options)
    with _process("Creating the database", command, home, stop_signal="KILL") as process:
        process.wait()
    draft.replace(cluster)


def _process(
    name: str, command: Sequence[str | Path], home: Home, *, stop_signal: str
) -> AbstractContextManager[OwnedProcess]:
    """A program of PostgreSQL's."""
    program, *arguments = command
    command = [postgres_binary(str(program)), *arguments]
    return owned_process(
        name, command, home, log=home.path / _LOG, stop_signal=stop_signal,
        advice="set DATABASE_URL to a PostgreSQL of your own",
    )  # fmt: skip


def _create_database(sockets: Path) -> None:
    """Make the role, the extension and, last, the database, whose presence says that this is done.

    The role is no superuser, or row-level security would not hold it. It may create databases (tests do), and each has
    pgvector out of template1, which only a superuser may install.
    """
    with _connect(sockets, "postgres") as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (_NAME,)).fetchone():
            return
        with _connect(sockets, "template1") as template:
            template.execute("CREATE EXTENSION IF NOT EXISTS vector")
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (_NAME,)).fetchone():
            connection.execute(f"CREATE ROLE {_NAME} LOGIN CREATEDB")
        connection.execute(f"CREATE DATABASE {_NAME} OWNER {_NAME}")


def _answers(sockets: Path) -> bool:
    try:
        _connect(sockets, "postgres").close()
    except psycopg.OperationalError:
        return False
    return True


def _connect(sockets: Path, database: str) -> psycopg.Connection[tuple[object, ...]]:
    """Connect as the superuser, whom only this folder's owner can reach."""
    return psycopg.connect(
        host=str(sockets), port=POSTGRES_PORT, user="postgres", dbname=database, autocommit=True, connect_timeout=10
    )
