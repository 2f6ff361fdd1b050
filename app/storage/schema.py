"""Schema: brings a database to this version's revision."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError

from app.domain.errors import ConfigurationError, DatabaseUnavailable, SchemaOutdated
from app.storage.engine import engine_options, reason_of
from app.storage.revision import HEAD, newer

_LOCK = 0x666F6F746E6F7465  # "footnote": one migration at a time, whoever starts it


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def migrate(url: str, revision: str = "head") -> tuple[str | None, str | None]:
    """Upgrade (or, to an older revision or `base`, downgrade) the schema; returns the revisions before and after.

    Raises DatabaseUnavailable, SchemaOutdated when a newer version made the schema, and ConfigurationError when there
    is no such revision or the role may not create what is needed.
    """
    if not revision.strip():
        raise ConfigurationError("The revision is empty; leave it out for this version's, or name an older one.")
    engine = create_engine(**engine_options(url))
    try:
        with engine.connect() as connection:
            connection.execute(text("SET statement_timeout = 0"))  # a large table's new index takes its time
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
            connection.commit()
            before = MigrationContext.configure(connection).get_current_revision()
            _require_unicode(connection)
            connection.commit()
            if before is not None and before > HEAD:
                raise SchemaOutdated(newer(before))
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
            f"The database refused the migration: {reason_of(error)}. The role of DATABASE_URL needs to own the "
            "database and its tables, and pgvector to be there (`CREATE EXTENSION vector`, once, by an administrator)."
        ) from error
    except DBAPIError as error:
        raise ConfigurationError(f"The migration failed, nothing has changed: {reason_of(error)}.") from error
    finally:
        engine.dispose()


def _require_unicode(connection: Connection) -> None:
    """Raise ConfigurationError when the database cannot hold every text."""
    encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise ConfigurationError(
            f"The database has the encoding {encoding}, Footnote needs UTF8: make one with "
            "`CREATE DATABASE footnote ENCODING 'UTF8' TEMPLATE template0`."
        )


def _ancestors(script: ScriptDirectory, revision: str) -> set[str]:
    """The revisions below one."""
    return {found.revision for found in script.iterate_revisions(revision, "base")} - {revision}
