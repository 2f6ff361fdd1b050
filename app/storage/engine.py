"""Database: connections to PostgreSQL, each bound to one workspace."""

from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, ClassVar
from uuid import UUID

import msgspec
import psycopg
from pgvector.psycopg import register_vector_async
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from app.domain.errors import ConfigurationError, DatabaseUnavailable, SchemaOutdated

CONNECT_TIMEOUT_S = 5
IDLE_CHECK_S = 0.5
_WORKSPACE = "footnote.workspace_id"
BUSY_TIMEOUT_S = 10  # when many ask at once, each waits for a connection that another one gives back
_SET_WORKSPACE = text("SELECT set_config('footnote.workspace_id', :workspace_id, true)")


_FORM = (
    "DATABASE_URL must look like postgresql://user:password@host:5432/database. In the password, @ is written as %40, "
    ": as %3A, / as %2F and % as %25; behind a ? stands what libpq knows, such as sslmode=require."
)


def libpq_url(url: str) -> str:
    """The URL as psycopg wants it; takes `postgres://` and SQLAlchemy's `postgresql+driver://` too.

    Raises ConfigurationError, without the URL, when libpq cannot read it or would take a part of the password for the
    host.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.split("+")[0] not in {"postgres", "postgresql"}:
        raise ConfigurationError(_FORM)
    try:
        parts = conninfo_to_dict(f"postgresql://{rest}")
    except psycopg.ProgrammingError:  # names what it could not read, perhaps the password
        raise ConfigurationError(_FORM) from None
    ports = str(parts.get("port") or "").replace(",", "")
    if "@" in str(parts.get("host")) or not (ports.isdecimal() or not ports):
        raise ConfigurationError(_FORM)
    return f"postgresql://{rest}"


def engine_options(url: str) -> dict[str, Any]:
    """What makes SQLAlchemy's engine connect to libpq's URL, which it would read otherwise than libpq."""
    told = {"connect_timeout": CONNECT_TIMEOUT_S, "client_encoding": "utf8"}
    return {"url": "postgresql+psycopg://", "connect_args": conninfo_to_dict(libpq_url(url)) | told}


class WorkspaceConnection(psycopg.AsyncConnection[Any]):
    """A pooled connection that remembers how its session is set, which saves a round trip a query."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.used_at = monotonic()
        self._set: dict[str, str] = {}

    async def tune(self, settings: Mapping[str, str]) -> None:
        """Set what the session is not set to yet; nothing is sent when it is."""
        changed = {name: value for name, value in settings.items() if self._set.get(name) != value}
        if changed:
            calls = sql.SQL(", ").join(
                sql.SQL("set_config({}, {}, false)").format(name, value) for name, value in changed.items()
            )
            await self.execute(sql.SQL("SELECT ") + calls)
            self._set |= changed


class _LastUsedFirst(AsyncConnectionPool[WorkspaceConnection]):
    """Hands out the connection that was given back last: its server process has plans and pages at hand.

    The library's own order is the opposite, which has every idle process in turn read the same pages for the first time
    in a while (a search with eight connections open: 1.8 ms, so 1.4 ms).
    """

    def __init__(self, conninfo: str, **options: Any) -> None:
        super().__init__(conninfo, connection_class=WorkspaceConnection, **options)
        self._pool = _Stack()


class _Stack(deque[WorkspaceConnection]):
    """What came last goes first."""

    def popleft(self) -> WorkspaceConnection:
        return self.pop()


class Database:
    """Two pools on one PostgreSQL: SQLAlchemy's for rows of the data model, psycopg's for the hot query and COPY.

    Every failure to reach the server surfaces as DatabaseUnavailable; both pools recover by themselves.
    """

    # The hot query is planned once per connection; compiling it would cost more than it takes.
    SESSION: ClassVar[dict[str, str]] = {
        "hnsw.iterative_scan": "relaxed_order",  # the statement sorts what it yields
        "hnsw.max_scan_tuples": "8000",  # when these are not enough, measuring every row that passes is faster
        "plan_cache_mode": "force_generic_plan",
        "jit": "off",
    }

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        """Nothing is opened yet; see `open`."""
        self.url = libpq_url(url)
        self.engine = create_async_engine(
            **engine_options(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=BUSY_TIMEOUT_S,
            pool_pre_ping=True,
            pool_use_lifo=True,
        )
        self._session = async_sessionmaker(self.engine, expire_on_commit=False)
        self._pool = _LastUsedFirst(
            self.url,
            min_size=0,
            max_size=pool_size,
            open=False,
            timeout=BUSY_TIMEOUT_S,
            configure=self._configure,
            check=_check,
            kwargs={"connect_timeout": CONNECT_TIMEOUT_S, "autocommit": True},
        )

    async def _configure(self, connection: WorkspaceConnection) -> None:
        set_json_loads(msgspec.json.decode, connection)
        await connection.tune(self.SESSION)
        try:
            await register_vector_async(connection)
        except psycopg.ProgrammingError as error:
            raise SchemaOutdated(
                "The extension pgvector is not installed in the database; run `footnote migrate`."
            ) from error

    async def open(self) -> None:
        """Open the pools; connections are made when first needed."""
        await self._pool.open()

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()
        await self.engine.dispose()

    @asynccontextmanager
    async def transaction(self, workspace_id: UUID) -> AsyncIterator[AsyncSession]:
        """A short transaction in one workspace; commits at the end, rolls back on an exception."""
        with unavailable():
            async with self._session() as session, session.begin():
                await session.execute(_SET_WORKSPACE, {"workspace_id": str(workspace_id)})
                yield session

    @asynccontextmanager
    async def connection(self, workspace_id: UUID) -> AsyncIterator[WorkspaceConnection]:
        """A psycopg connection in one workspace, in a transaction that commits at the end."""
        async with self.reading(workspace_id) as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def reading(
        self, workspace_id: UUID, settings: Mapping[str, str] | None = None
    ) -> AsyncIterator[WorkspaceConnection]:
        """A psycopg connection in one workspace, each statement by itself, with PostgreSQL's `settings` in force."""
        with unavailable():
            async with self._pool.connection() as connection:
                try:
                    await connection.tune({_WORKSPACE: str(workspace_id), **(settings or {})})
                    yield connection
                finally:
                    connection.used_at = monotonic()

    async def describe(self) -> tuple[str, str, bool]:
        """The server's version, pgvector's, and whether the role is one that row-level security does not bind."""
        with unavailable():
            async with self.engine.connect() as connection:
                version, vector, bypasses = (await connection.execute(_DESCRIBE)).one()
                return version, vector, bypasses

    async def require_sessions(self) -> None:
        """Raise ConfigurationError when a pooler lends one server process to several connections in turn.

        Row-level security and the search are set for a session and its statements prepared in it: one connection would
        have another's workspace, or none of its statements.
        """
        with unavailable():
            async with self._pool.connection() as idle, self.engine.connect() as busy:
                before = await (await idle.execute(_PROCESS, prepare=False)).fetchone()
                held = tuple((await busy.execute(text(_PROCESS))).one())  # its transaction takes one that is free
                shared = before == held or before != await (await idle.execute(_PROCESS, prepare=False)).fetchone()
        if shared:
            raise ConfigurationError(
                "DATABASE_URL leads to a connection pooler that pools transactions, which mixes up the sessions that "
                "Footnote needs. Let it pool sessions (PgBouncer: pool_mode = session), or name PostgreSQL's own host "
                "and port."
            )

    async def identity(self) -> str:
        """What tells this database from others; the same for every worker on it."""
        with unavailable():
            async with self.engine.connect() as connection:
                return str((await connection.execute(_IDENTITY)).scalar_one())

    async def ping(self) -> None:
        """Raise DatabaseUnavailable when PostgreSQL does not answer, or takes no changes."""
        with unavailable():
            async with self.engine.connect() as connection:
                if (await connection.execute(text("SHOW transaction_read_only"))).scalar_one() == "on":
                    raise DatabaseUnavailable(_READ_ONLY)


async def _check(connection: WorkspaceConnection) -> None:
    """Ask a connection that was idle whether its server is still there; a busy one would have told."""
    if monotonic() - connection.used_at > IDLE_CHECK_S:
        await AsyncConnectionPool.check_connection(connection)


_READ_ONLY = (
    "PostgreSQL is read-only, as a replica is, or a server whose disk is full; nothing was lost. Let DATABASE_URL lead "
    "to one that takes changes, or try again shortly."
)
_PROCESS = "SELECT pg_backend_pid(), pg_postmaster_start_time()"  # of several servers two may have the same number
_IDENTITY = text("SELECT datname || ':' || oid FROM pg_database WHERE datname = current_database()")
_DESCRIBE = text("""
    SELECT current_setting('server_version'),
        (SELECT extversion FROM pg_extension WHERE extname = 'vector'),
        (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user)
""")


class unavailable:  # noqa: N801 - used as a context manager
    """Turns "the server is not there" of either driver into DatabaseUnavailable; a statement's own error stays."""

    def __enter__(self) -> None: ...

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        gone = isinstance(error, OperationalError | InterfaceError | psycopg.OperationalError | psycopg.InterfaceError)
        gone = gone or (isinstance(error, DBAPIError) and error.connection_invalidated)
        gone = gone or isinstance(error, PoolTimeout | PoolExhausted | TimeoutError)
        said = getattr(error, "orig", error)
        if error is not None and isinstance(said, psycopg.errors.ReadOnlySqlTransaction):
            raise DatabaseUnavailable(_READ_ONLY) from error
        if error is not None and isinstance(said, psycopg.errors.QueryCanceled):
            raise DatabaseUnavailable(
                f"PostgreSQL ended a statement ({reason_of(error)}); nothing was lost, try again shortly. Where "
                "statement_timeout ends them, raise it for the role of DATABASE_URL."
            ) from error
        if error is not None and gone:
            raise DatabaseUnavailable(reason=reason_of(error)) from error


def reason_of(error: BaseException) -> str:
    """What the driver said, in a line; it names hosts and roles, never a password."""
    said = str(error.orig if isinstance(error, DBAPIError) else error)
    return said.partition("\n")[0]
