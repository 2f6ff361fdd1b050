"""Schema: brings a database to this version's revision."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from app.domain.errors import ConfigurationError, DatabaseUnavailable
from app.storage.engine import CONNECT_TIMEOUT_S, libpq_url, reason_of

_LOCK = 0x666F6F746E6F7465  # "footnote": one migration at a time, whoever starts it


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def _engine(url: str) -> Engine:
    return create_engine(
        make_url(libpq_url(url)).set(drivername="postgresql+psycopg"),
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S},
    )


def migrate(url: str, revision: str = "head") -> tuple[str | None, str | None]:
    """Upgrade (or, to an older revision or `base`, downgrade) the schema; returns the revisions before and after.

    Raises DatabaseUnavailable, and ConfigurationError when there is no such revision or the role may not create what is
    needed.
    """
    engine = _engine(url)
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
            connection.commit()
            before = MigrationContext.configure(connection).get_current_revision()
            connection.commit()
            script = ScriptDirectory.from_config(_config())
            down = revision == "base" or (before is not None and revision in _ancestors(script, before))
            (command.downgrade if down else command.upgrade)(_config(connection), revision)
            connection.commit()
            after = MigrationContext.configure(connection).get_current_revision()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
            connection.commit()
            return before, after
    except OperationalError as error:
        raise DatabaseUnavailable(reason=reason_of(error)) from error
    except CommandError as error:
        raise ConfigurationError(f"The schema cannot be brought to `{revision}`: {reason_of(error)}") from error
    except ProgrammingError as error:
        raise ConfigurationError(
            f"The database refused the migration: {error.orig}. The role of DATABASE_URL needs CREATE on the database "
            "and the extension pgvector (`CREATE EXTENSION vector`, once, by an administrator)."
        ) from error
    finally:
        engine.dispose()


def _ancestors(script: ScriptDirectory, revision: str) -> set[str]:
    """The revisions below one."""
    return {found.revision for found in script.iterate_revisions(revision, "base")} - {revision}
