"""Declared: the sources in `footnote.toml`, each by its name."""

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from croniter import CroniterBadDateError, croniter
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    HttpUrl,
    IPvAnyNetwork,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from app.domain.document import MOST_NAME_CHARS
from app.domain.errors import ConfigurationError, InvalidInput
from app.settings import environment_value
from ingestion.loaders.json_fields import JsonFields
from ingestion.sources.files import FileSource
from ingestion.sources.mongodb import MongoSource
from ingestion.sources.records import Columns
from ingestion.sources.source import Source
from ingestion.sources.sql import SqlSource

_NO_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def _listed(value: object) -> object:
    """One name is a list of one."""
    return (value,) if isinstance(value, str) else value


_TextType = Literal["text/plain", "text/markdown", "text/html"]
_Names = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]


def _with_environment(key: str, text: str) -> str:
    """The URL with `${NAME}` replaced by variables of the environment. Raises ConfigurationError naming the `key`.

    In the user's name and password what would end them is escaped; so nothing of a password becomes a host's name.
    """

    def value(found: re.Match[str]) -> str:
        known = environment_value(found[1])
        if known is None:
            raise ConfigurationError(f"{key}: the variable {found[1]} is not set in the environment.")
        secret = "://" in text[: found.start()] and "@" in text[found.end() :]
        return quote(_NO_ESCAPE.sub("%25", known), safe="%") if secret else known

    return _VARIABLE.sub(value, text)


def _cron_line(line: str) -> str:
    if not croniter.is_valid(line):
        raise ValueError('a cron line such as "0 3 * * *" belongs here')
    try:
        croniter(line).get_next()
        croniter(line).get_prev()  # which a worker asks for when it starts
    except CroniterBadDateError as error:
        raise ValueError("there is no such date, so it would never be due") from error
    return line


class _Declared(BaseModel):
    """What every source has.

    `schedule` is a cron line by which a worker syncs it. `prune` deletes documents that vanished from it, unless they
    are more than `max_prune_share` of its documents.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    name: str
    folder: Path
    collection: str = Field("default", min_length=1, max_length=MOST_NAME_CHARS)
    schedule: Annotated[str, AfterValidator(_cron_line)] | None = None
    prune: bool = False
    max_prune_share: float = Field(0.2, ge=0, le=1)


class _Json(BaseModel):
    """What records of JSON are made of, as in `JsonFields`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: _Names
    title: str | None = None
    metadata: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    key: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    records: str | None = None
    media_type: _TextType = "text/plain"

    @model_validator(mode="after")
    def _pointers(self) -> "_Json":
        try:
            _ = self.fields
        except InvalidInput as error:
            raise ValueError(error.message) from error
        return self

    @property
    def fields(self) -> JsonFields:
        """The same, checked. Raises InvalidInput."""
        return JsonFields(self.text, self.title, self.metadata, self.key, self.records, self.media_type)


class DeclaredFiles(_Declared):
    """Files and folders, relative to the folder of `footnote.toml`."""

    type: Literal["files"]
    paths: tuple[Path, ...] = Field(min_length=1)
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    json_fields: _Json | None = Field(None, alias="json")

    @field_validator("paths")
    @classmethod
    def _from_home(cls, paths: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(path.expanduser() for path in paths)

    def open(self) -> Source:
        """The source itself."""
        fields = None if self.json_fields is None else self.json_fields.fields
        return FileSource([self.folder / path for path in self.paths], self.include, self.exclude, fields)


class DeclaredWeb(_Declared):
    """Pages and sitemaps."""

    type: Literal["web"]
    urls: tuple[HttpUrl, ...] = ()
    sitemaps: tuple[HttpUrl, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    requests_per_s: float = Field(2.0, gt=0, le=100)
    max_pages: int = Field(10_000, ge=1)
    allow_networks: tuple[IPvAnyNetwork, ...] = ()
    json_fields: _Json | None = Field(None, alias="json")

    @model_validator(mode="after")
    def _something(self) -> "DeclaredWeb":
        if not self.urls and not self.sitemaps:
            raise ValueError("it needs `urls` or `sitemaps`")
        return self

    def open(self) -> Source:
        """The source itself."""
        # HTTP and XML are a tenth of what a command imports, and for this kind alone
        from ingestion.sources.fetch import Fetcher  # noqa: PLC0415
        from ingestion.sources.web import WebSource  # noqa: PLC0415

        fetcher = Fetcher(requests_per_s=self.requests_per_s, allowed=self.allow_networks)
        urls, sitemaps = map(str, self.urls), map(str, self.sitemaps)
        fields = None if self.json_fields is None else self.json_fields.fields
        return WebSource(fetcher, list(urls), list(sitemaps), self.include, self.exclude, self.max_pages, fields)


class _DeclaredRecords(_Declared):
    """What sources whose documents are records have.

    `${NAME}` in the URL stands for a variable of the environment, which is looked up when the source is opened.
    """

    url: str = Field(min_length=1)
    key: _Names
    text: _Names
    title: str | None = None
    metadata: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    media_type: _TextType = "text/plain"

    @property
    def full_url(self) -> str:
        """The URL with the variables of the environment. Raises ConfigurationError when one is not set."""
        return _with_environment(f"sources.{self.name}.url", self.url)

    @property
    def columns(self) -> Columns:
        """Which fields are what."""
        return Columns(self.key, self.text, self.title, self.metadata, self.media_type)


class DeclaredSql(_DeclaredRecords):
    """The rows of a query."""

    type: Literal["sql"]
    query: str = Field(min_length=1)

    def open(self) -> Source:
        """The source itself. Raises ConfigurationError."""
        return SqlSource(self.name, self.full_url, self.query, self.columns)


class DeclaredMongo(_DeclaredRecords):
    """The documents of a MongoDB collection."""

    type: Literal["mongodb"]
    database: str = Field(min_length=1)
    documents: str = Field(min_length=1)
    filter: str = "{}"
    key: _Names = ("_id",)

    def open(self) -> Source:
        """The source itself. Raises ConfigurationError."""
        return MongoSource(self.name, self.full_url, self.database, self.documents, self.filter, self.columns)


Declared = Annotated[DeclaredFiles | DeclaredWeb | DeclaredSql | DeclaredMongo, Field(discriminator="type")]
_DECLARED: TypeAdapter[Declared] = TypeAdapter(Declared)


def read_sources(path: Path) -> dict[str, Declared]:
    """The declared sources by name. Raises ConfigurationError that names the key at fault and what it takes."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # editors on Windows mark UTF-8
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"{path}: there is no such file; declare sources in it (docs/sync.md), or name another with "
            "FOOTNOTE_SOURCES_FILE."
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    tables = content.get("sources", {})
    unknown = content.keys() - {"sources"}
    if unknown or not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise ConfigurationError(f"{path} takes tables [sources.NAME]; it has {', '.join(sorted(unknown)) or 'none'}.")
    return {name: _declared(path, name, table) for name, table in tables.items()}


def named_sources(path: Path, names: list[str], *, every: bool = False) -> list[Declared]:
    """The declared sources of these names, or every one. Raises InvalidInput for a name that is not declared."""
    declared = read_sources(path)
    unknown = [name for name in names if name not in declared]
    if unknown:
        there = ", ".join(sorted(declared)) or "none"
        raise InvalidInput(f"{path} declares no source named {', '.join(unknown)}; there are: {there}.")
    return list(declared.values()) if every else [declared[name] for name in dict.fromkeys(names)]


def _declared(path: Path, name: str, table: dict[str, Any]) -> Declared:
    try:
        return _DECLARED.validate_python({**table, "name": name, "folder": path.resolve().parent})
    except ValidationError as error:
        faults = "; ".join(f"{_key(name, fault['loc'])}: {fault['msg']}" for fault in error.errors())
        raise ConfigurationError(f"{path} is not usable. {faults}") from error


def _key(name: str, location: tuple[str | int, ...]) -> str:
    """The key in the file; the first part is the source's type, which pydantic puts before it."""
    return ".".join(["sources", name, *map(str, location[1:])])
