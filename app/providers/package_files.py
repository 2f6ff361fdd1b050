"""Package files: model and tokenizer files that installed packages carry, found without importing them."""

from importlib.util import find_spec
from pathlib import Path

from app.domain.errors import ConfigurationError


def package_file(package: str, pattern: str) -> Path:
    """The one file below `package`'s folder that matches the glob `pattern`.

    The package is not imported: some of them would pull in frameworks that are not installed, or take seconds.
    Raises ConfigurationError when the package or the file is missing.
    """
    spec = find_spec(package)
    folder = Path(spec.origin).parent if spec and spec.origin else None
    found = sorted(folder.glob(pattern)) if folder else []
    if not found:
        raise ConfigurationError(
            f"The package `{package}` with its file {pattern} is not installed; install Footnote again (`uv sync`)."
        )
    return found[0]
