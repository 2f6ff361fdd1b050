"""Fixtures of the embedded services' tests: folders with short paths, with and without data."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.embedded.services import embedded_services

NO_SYNC = {"fsync": "off"}


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's, and which every user can enter."""
    folder = Path(tempfile.mkdtemp(prefix="fn-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def used_folder() -> Iterator[Path]:
    """A data folder that was used and left."""
    folder = Path(tempfile.mkdtemp(prefix="fn-"))
    with embedded_services(folder, settings=NO_SYNC):
        pass
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def put_used_folder(used_folder: Path) -> Callable[[Path], Path]:
    """Puts a copy of it to a path: a start there takes a tenth of a first start's time."""
    return lambda path: shutil.copytree(used_folder, path)
