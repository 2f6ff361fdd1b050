"""SQL: the rows of a query, in any database that SQLAlchemy speaks to."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from app.domain.errors import ConfigurationError, SourceUnavailable
from ingestion.sources.records import Columns, Record, Spool, records

_DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg", "mysql": "mysql+pymysql"}
_DRIVERS |= {"mariadb": "mariadb+pymysql"}
_ROWS_AT_ONCE = 500
_COLON = re.compile(r"(?<!\\):")  # which SQLAlchemy would take for the begin of a parameter's name


@dataclass(frozen=True, slots=True)
class SqlSource:
    """The rows of a query, one document each."""

    name: str
    url: str
    query: str
    columns: Columns
    _spool: Spool = field(default_factory=Spool)

    def items(self) -> list[Record]:
        """The rows, read in one transaction that is rolled back.

        Raises SourceUnavailable when the database cannot be asked, ConfigurationError for a URL or a column that is
        not there.
        """
        try:
            return list(records(self._spool, self.name, self.columns, self._rows()))
        except SQLAlchemyError as error:
            reason = " ".join(str(getattr(error, "orig", None) or error).split())
            raise SourceUnavailable(f"The database of {self.name} refused: {reason} Nothing was changed.") from error

    def close(self) -> None:
        """Forget the rows."""
        self._spool.close()

    def _rows(self) -> Iterator[Mapping[str, object]]:
        engine = create_engine(_driven(self.name, self.url))
        try:
            with engine.connect() as connection:
                options = {"stream_results": True, "max_row_buffer": _ROWS_AT_ONCE}
                query = text(_COLON.sub(r"\:", self.query))
                found = connection.execute(query, execution_options=options)
                there = list(found.keys()) if found.returns_rows else []
                missing = [name for name in self.columns.all if name not in there]
                if missing:
                    has = ", ".join(there) or "none"
                    raise ConfigurationError(
                        f"The query of {self.name} has no column {', '.join(missing)}; it has {has}."
                    )
                for row in found:
                    yield row._asdict()
        finally:
            engine.dispose()


def _driven(name: str, url: str) -> URL:
    """The URL with the driver that Footnote comes with.

    Raises ConfigurationError, and SourceUnavailable for a file of SQLite that is not there: it would be made.
    """
    try:
        parsed = make_url(url)
        parsed = parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))
        parsed.get_dialect().import_dbapi()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise ConfigurationError(
            f"The url of {name} is not one of SQLAlchemy; for example postgresql://user:password@host/database."
        ) from error
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{name} needs the package {error.name}; for MySQL and MariaDB install Footnote's extra `mysql`."
        ) from error
    if "@" in (parsed.host or ""):
        raise ConfigurationError(f"The url of {name} has an `@` in its user name or password; write it as %40.")
    file = parsed.database or ""
    is_file = parsed.get_backend_name() == "sqlite" and file and not file.startswith((":memory:", "file:"))
    if is_file and not Path(file).is_file():
        raise SourceUnavailable(f"The database of {name}: there is no file {file}. Nothing was changed.")
    return parsed
