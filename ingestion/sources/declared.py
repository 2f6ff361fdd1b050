"""Declared: the sources in `footnote.toml`, each by its name."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from app.domain.errors import ConfigurationError, InvalidInput
from ingestion.sources.files import FileSource
from ingestion.sources.source import Source


class _Declared(BaseModel):
    """What every source has.

    `schedule` is a cron line by which a worker syncs it. `prune` deletes documents that vanished from it, unless they
    are more than `max_prune_share` of its documents.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    name: str
    folder: Path
    collection: str = Field("default", min_length=1)
    schedule: str | None = None
    prune: bool = False
    max_prune_share: float = Field(0.2, ge=0, le=1)


class DeclaredFiles(_Declared):
    """Files and folders, relative to the folder of `footnote.toml`."""

    type: Literal["files"]
    paths: tuple[Path, ...] = Field(min_length=1)
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @field_validator("paths")
    @classmethod
    def _from_home(cls, paths: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(path.expanduser() for path in paths)

    def open(self) -> Source:
        """The source itself."""
        return FileSource([self.folder / path for path in self.paths], self.include, self.exclude)


Declared = Annotated[DeclaredFiles, Field(discriminator="type")]
_DECLARED: TypeAdapter[Declared] = TypeAdapter(Declared)


def read_sources(path: Path) -> dict[str, Declared]:
    """The declared sources by name. Raises ConfigurationError that names the key at fault and what it takes."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
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
