"""The database's pools: a connection that stays busy too long is said to be unavailable, and comes back."""

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app.domain.errors import ConfigurationError, DatabaseUnavailable
from app.domain.principal import DEFAULT_WORKSPACE_ID
from app.storage import engine
from app.storage.engine import Database, libpq_url, unavailable
from app.storage.revision import HEAD
from app.storage.schema import migrate
from tests.fixtures.pooler import pooler


@pytest.fixture
def database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_S", 0.2)
    return Database(database_url, pool_size=1)


async def test_a_busy_pool_is_unavailable_and_recovers(database: Database) -> None:
    await database.open()
    async with database.transaction(DEFAULT_WORKSPACE_ID), database.connection(DEFAULT_WORKSPACE_ID):
        with pytest.raises(DatabaseUnavailable):
            await database.ping()
        with pytest.raises(DatabaseUnavailable):
            async with database.connection(DEFAULT_WORKSPACE_ID):
                pass
    await database.ping()
    async with database.connection(DEFAULT_WORKSPACE_ID) as connection:
        assert await (await connection.execute("SELECT 1")).fetchone() == (1,)
    await database.close()


async def test_the_connection_that_was_used_last_is_used_next(database_url: str) -> None:
    database = Database(database_url, pool_size=2)
    await database.open()
    async with database.reading(DEFAULT_WORKSPACE_ID) as last, database.reading(DEFAULT_WORKSPACE_ID) as first:
        pass
    assert last is not first
    for _ in range(3):
        async with database.reading(DEFAULT_WORKSPACE_ID) as connection:
            assert connection is last
    await database.close()


async def test_a_pooler_of_transactions_is_refused(database_url: str) -> None:
    database = Database(database_url, pool_size=1)
    await database.open()
    await database.require_sessions()
    await database.close()
    async with pooler(database_url) as url:
        database = Database(url, pool_size=1)
        await database.open()
        await database.ping()
        with pytest.raises(ConfigurationError, match="pools transactions"):
            await database.require_sessions()
        await database.close()


async def test_a_statements_own_error_is_not_an_outage(database: Database) -> None:
    with pytest.raises(Exception, match="nowhere") as failed:
        async with database.transaction(DEFAULT_WORKSPACE_ID) as session:
            await session.execute(text("SELECT * FROM nowhere"))
    assert not isinstance(failed.value, DatabaseUnavailable)
    await database.close()


async def test_a_database_that_takes_no_changes_is_told(database_url: str) -> None:
    database = Database(f"{database_url}&options=-c%20default_transaction_read_only%3Don")
    await database.open()
    with pytest.raises(DatabaseUnavailable, match="is read-only"):
        await database.ping()
    with pytest.raises(DatabaseUnavailable, match="is read-only"):
        async with database.transaction(DEFAULT_WORKSPACE_ID) as session:
            await session.execute(text("CREATE TABLE nothing ()"))
    with pytest.raises(DatabaseUnavailable, match="is read-only"):
        async with database.connection(DEFAULT_WORKSPACE_ID) as connection:
            await connection.execute("CREATE TABLE nothing ()")
    await database.close()


async def test_a_statement_that_takes_too_long_for_the_role_is_told(database: Database) -> None:
    await database.open()
    with pytest.raises(DatabaseUnavailable) as ended:
        async with database.reading(DEFAULT_WORKSPACE_ID, {"statement_timeout": "50"}) as connection:
            await connection.execute("SELECT pg_sleep(60)")
    assert "raise it for the role" in ended.value.for_operators
    with pytest.raises(DatabaseUnavailable, match="for as long as"), unavailable():
        raise OperationalError("SELECT 1", {}, psycopg.errors.QueryCanceled("for as long as it may"))
    await database.close()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+asyncpg"])
def test_every_common_scheme_is_taken(scheme: str) -> None:
    assert libpq_url(f"{scheme}://me@host/db") == "postgresql://me@host/db"


@pytest.mark.parametrize("url", ["mysql://host/db", "host/db", ""])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="DATABASE_URL"):
        libpq_url(url)


@pytest.mark.parametrize(
    "rest",
    [
        "me:p@ss@host/db",
        "me:p/ss@host/db",
        "me:100%@host/db",
        "me:a:b/c@host:5432/db",
        "me@host:port/db",
        "me@host/db?pool_size=5",
    ],
)
def test_a_url_that_libpq_reads_otherwise_is_refused_without_its_password(rest: str) -> None:
    with pytest.raises(ConfigurationError, match="%40") as refused:
        libpq_url(f"postgresql://{rest}")
    assert rest not in refused.value.message
    assert "ss@" not in refused.value.message


async def test_both_pools_and_migrations_read_the_url_as_libpq_does(database_url: str) -> None:
    query = dict(part.split("=") for part in database_url.partition("?")[2].split("&"))
    name = database_url.partition("?")[0].rpartition("/")[2]
    folder, port = query["host"].replace("/", "%2F"), query["port"]
    for hosts in (f"{folder}:{port}", f"127.0.0.1:1,{folder}:{port}"):
        url = f"postgresql://footnote@{hosts}/{name}"
        assert migrate(url) == (HEAD, HEAD)
        database = Database(url)
        await database.open()
        await database.ping()
        async with database.connection(DEFAULT_WORKSPACE_ID) as connection:
            assert await (await connection.execute("SELECT 1")).fetchone() == (1,)
        await database.close()
