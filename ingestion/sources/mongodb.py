"""MongoDB: the documents of a collection that a filter lets pass."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.domain.errors import ConfigurationError, SourceUnavailable
from ingestion.sources.records import Columns, Record, Spool, records

TIMEOUT_MS = 10_000


@dataclass(frozen=True, slots=True)
class MongoSource:
    """Documents of a collection, by a filter in MongoDB's extended JSON; a dot leads into a field (`meta.author`)."""

    name: str
    url: str
    database: str
    documents: str
    filter: str
    columns: Columns
    _spool: Spool = field(default_factory=Spool)

    def items(self) -> list[Record]:
        """The documents by their keys.

        Raises SourceUnavailable when the server cannot be asked, ConfigurationError for a URL or filter it cannot use.
        """
        try:
            import pymongo  # noqa: PLC0415 - of an extra
            from pymongo.errors import ConfigurationError as WrongUrl  # noqa: PLC0415
            from pymongo.errors import PyMongoError  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise ConfigurationError(f"{self.name} needs Footnote's extra `mongodb`.") from error
        try:
            with pymongo.MongoClient[dict[str, Any]](
                self.url, serverSelectionTimeoutMS=TIMEOUT_MS, connectTimeoutMS=TIMEOUT_MS, tz_aware=True
            ) as client:
                return list(records(self._spool, self.name, self.columns, self._rows(client)))
        except (WrongUrl, ValueError) as error:
            raise ConfigurationError(f"The url or the filter of {self.name} is not usable: {error}") from error
        except PyMongoError as error:
            raise SourceUnavailable(f"The server of {self.name} refused: {error} Nothing was changed.") from error

    def close(self) -> None:
        """Forget the documents."""
        self._spool.close()

    def _rows(self, client: Any) -> Iterator[Mapping[str, object]]:
        from bson.json_util import loads  # noqa: PLC0415 - of an extra

        found = client[self.database][self.documents].find(loads(self.filter), dict.fromkeys(self.columns.all, 1))
        for document in found.sort([(name, 1) for name in self.columns.key]):
            yield {name: _at(document, name) for name in self.columns.all}


def _at(document: Mapping[str, object], path: str) -> object:
    value: object = document
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
