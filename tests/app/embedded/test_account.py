"""The account that the servers run as."""

import os
import pwd
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest

import app.embedded.account
from app.domain.errors import ServiceDidNotStart
from app.embedded.account import Account, account_for
from app.embedded.services import embedded_services
from tests.app.embedded.conftest import NO_SYNC

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the servers as somebody else")
CLOSED = any(not folder.stat().st_mode & 0o001 for folder in [Path(sys.prefix), *Path(sys.prefix).parents])


@pytest.mark.skipif(os.geteuid() == 0, reason="root needs another account")
def test_an_ordinary_user_runs_the_servers_as_itself(tmp_path: Path) -> None:
    assert account_for(tmp_path) == Account()


@as_root
@pytest.mark.skipif(CLOSED, reason="the packages are where only root can enter; the next test is for that")
def test_root_runs_them_as_nobody_where_nobody_can_reach_everything(short_path: Path) -> None:
    assert account_for(short_path) == Account(pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid)


@as_root
def test_under_a_home_that_only_root_can_enter_nobody_gets_one_capability(
    short_path: Path, put_used_folder: Callable[[Path], Path]
) -> None:
    (short_path / "home").mkdir(mode=0o700)
    data = put_used_folder(short_path / "home" / "data")
    with embedded_services(data, settings=NO_SYNC) as services:
        with psycopg.connect(services.database_url) as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("footnote",)
        servers = psutil.Process().children(recursive=True)
        server = next(process for process in servers if str(data / "postgres") in process.cmdline())
        assert server.username() == "nobody"
        status = Path(f"/proc/{server.pid}/status").read_text()
        capabilities = int(status.split("CapEff:")[1].split()[0], 16)
        assert capabilities.bit_count() == 1


@as_root
def test_in_a_users_folder_root_leaves_nothing_that_the_user_could_not_go_on_with(
    short_path: Path, put_used_folder: Callable[[Path], Path]
) -> None:
    user = pwd.getpwnam("daemon")
    data = put_used_folder(short_path / "data")
    Account(user.pw_uid, user.pw_gid).give(data)
    with embedded_services(data, settings=NO_SYNC):
        owners = {path: path.stat().st_uid for path in data.rglob("*")}
    assert {path: uid for path, uid in owners.items() if uid != user.pw_uid} == {}


@as_root
def test_a_folder_whose_owner_has_no_account_here_is_served_by_nobody(short_path: Path) -> None:
    os.chown(short_path, 54321, 54321)  # a mounted folder in a container
    assert account_for(short_path).uid == pwd.getpwnam("nobody").pw_uid


@as_root
def test_a_folder_of_another_account_is_taken_over(short_path: Path) -> None:
    (short_path / "deep").mkdir()
    (short_path / "deep" / "file").write_text("")
    (short_path / "deep" / "link").symlink_to("/etc/passwd")
    Account(1, 1).give(short_path)
    assert {path.lstat().st_uid for path in (short_path, *short_path.rglob("*"))} == {1}
    assert Path("/etc/passwd").stat().st_uid == 0
    (short_path / "elsewhere").symlink_to("/etc")
    Account(1, 1).give(short_path / "elsewhere")
    assert Path("/etc").stat().st_uid == 0


def test_when_no_account_can_run_them_the_message_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ways = [Account(prefix=("/missing/setpriv",)), Account(prefix=("/bin/sh", "-c", "echo not permitted >&2; exit 1"))]
    monkeypatch.setattr(app.embedded.account, "_ways", lambda user: ways)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(ServiceDidNotStart) as failed:
        account_for(tmp_path)
    for part in ("refuses to run as root", "/missing/setpriv", "not permitted", "ordinary user", "DATABASE_URL"):
        assert part in failed.value.message
