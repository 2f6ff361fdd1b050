"""Settings read: which settings a run used, for its report."""

from pathlib import Path
from typing import Any, cast

import msgspec
from pydantic import SecretStr

from app.settings import Settings


class SettingsRead:
    """Settings that remember what was read of them: the report names exactly what retrieval used."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._read: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._settings, name)
        if name in Settings.model_fields and not isinstance(value, SecretStr | Path):
            self._read[name] = value
        return value

    def so_far(self) -> dict[str, Any]:
        """Names and values, secrets and folders left out."""
        return cast("dict[str, Any]", msgspec.to_builtins(dict(sorted(self._read.items())), str_keys=True))
