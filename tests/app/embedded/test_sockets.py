"""The folder of the servers' sockets."""

import socket
import stat
from pathlib import Path

import pytest

import app.embedded.sockets
from app.domain.errors import FolderNotWritable
from app.embedded.account import Account
from app.embedded.sockets import socket_folder


@pytest.mark.parametrize("name", ["long" * 30, "a,comma"])
def test_where_sockets_cannot_be_they_are_in_a_private_temporary_folder(short_path: Path, name: str) -> None:
    data = short_path / name
    data.mkdir()
    with socket_folder(data, Account()) as folder:
        assert folder == (data / "sockets").readlink()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(folder / "valkey.sock"))
    assert not folder.exists()
    assert list(data.iterdir()) == []


def test_what_a_killed_owner_left_is_cleared_away(short_path: Path) -> None:
    data = short_path / ("long" * 30)
    data.mkdir()
    with socket_folder(data, Account()) as folder:
        pass
    folder.mkdir()
    (folder / ".s.PGSQL.5432.lock").write_text("1")
    (data / "sockets").symlink_to(folder)
    with socket_folder(data, Account()) as new:
        assert not folder.exists() or new == folder
        assert list(new.iterdir()) == []


def test_a_system_without_unix_sockets_is_told_so(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.embedded.sockets, "_sockets_work_in", lambda folder: False)
    with pytest.raises(FolderNotWritable, match="--data-dir"), socket_folder(short_path, Account()):
        pass
    assert list(short_path.iterdir()) == []
