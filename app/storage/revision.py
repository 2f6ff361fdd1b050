"""Revision: whether a database has this version's schema, told without Alembic, whose import takes half a second."""

from psycopg.errors import UndefinedTable
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from app.domain.errors import ConfigurationError, SchemaOutdated
from app.storage.engine import Database, reason_of, unavailable

HEAD = "0021"  # the newest in migrations/versions


async def require_current(database: Database) -> None:
    """Raise SchemaOutdated when the database is not at this version's revision.

    ConfigurationError if it hides that, or if its sessions are shared.
    """
    with unavailable():
        async with database.engine.connect() as connection:
            try:
                current = await connection.scalar(text("SELECT version_num FROM alembic_version"))
            except ProgrammingError as error:
                if not isinstance(error.orig, UndefinedTable):
                    raise ConfigurationError(
                        f"The database refuses to be read: {reason_of(error)}. The role of DATABASE_URL needs to own "
                        "the database and its tables."
                    ) from error
                current = None  # never migrated
    if current is not None and current > HEAD:
        raise SchemaOutdated(newer(current))
    if current != HEAD:
        raise SchemaOutdated(
            f"The database schema is at revision {current or 'none'}, this version needs {HEAD}: "
            "run `footnote migrate`."
        )
    await database.require_sessions()


def newer(revision: str) -> str:
    """What to do about a database at a revision that this version does not know."""
    return (
        f"The database schema is at revision {revision} of a newer version of Footnote; this one knows {HEAD}. "
        f"Start that version, or go back with its `footnote migrate --revision {HEAD}`."
    )
