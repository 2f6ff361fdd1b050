"""Revision: whether a database has this version's schema, told without Alembic, whose import takes half a second."""

from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from app.domain.errors import SchemaOutdated
from app.storage.engine import Database, unavailable

HEAD = "0021"  # the newest in migrations/versions


async def require_current(database: Database) -> None:
    """Raise SchemaOutdated when the database is not at this version's revision."""
    with unavailable():
        async with database.engine.connect() as connection:
            try:
                current = await connection.scalar(text("SELECT version_num FROM alembic_version"))
            except ProgrammingError:  # no such table: never migrated
                current = None
    if current != HEAD:
        raise SchemaOutdated(
            f"The database schema is at revision {current or 'none'}, this version needs {HEAD}: "
            "run `footnote migrate`."
        )
