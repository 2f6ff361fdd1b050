"""The data folder and its record."""

from pathlib import Path

import pytest

import app.embedded.folder
from app.domain.errors import FolderInUse, FolderNotWritable, ServiceDidNotStart
from app.embedded.folder import owned_folder
from app.embedded.lock import take_lock
from app.embedded.services import embedded_services, owner_of, running_endpoints

STEPS: list[str] = []


def test_what_is_made_in_a_checkout_stays_out_of_git(tmp_path: Path) -> None:
    with owned_folder(tmp_path / "data", STEPS.append):
        assert (tmp_path / "data" / ".gitignore").read_text() == "*\n"
        assert running_endpoints(tmp_path / "data") is None, "owned, but nothing is ready"
        assert owner_of(tmp_path / "data") is not None
    assert owner_of(tmp_path / "data") is None


def test_the_record_of_a_killed_owner_counts_for_nothing(tmp_path: Path) -> None:
    with owned_folder(tmp_path, STEPS.append):
        record = (tmp_path / "owner.json").read_bytes()
    (tmp_path / "owner.json").write_bytes(record)
    assert owner_of(tmp_path) is None


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "owner.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FolderNotWritable, match=r"cannot be read .*--data-dir"):
        owner_of(tmp_path)
    with pytest.raises(FolderNotWritable, match=r"owner\.lock.*--data-dir"), embedded_services(tmp_path):
        pass
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("record", [None, "", "{}", '{"owner": 1}'])
def test_an_owner_without_a_readable_record_is_still_an_owner(tmp_path: Path, record: str | None) -> None:
    lock = take_lock(tmp_path / "owner.lock", 0)
    assert lock is not None
    if record is not None:
        (tmp_path / "owner.json").write_text(record)
    with lock:
        assert owner_of(tmp_path) is None
        with pytest.raises(FolderInUse, match="another process"), owned_folder(tmp_path, STEPS.append):
            pass
    with owned_folder(tmp_path, STEPS.append):
        pass


def test_servers_that_do_not_stop_are_named_and_left_their_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.embedded.folder, "_SERVERS_PATIENCE_S", 0.05)
    lock = take_lock(tmp_path / "servers.lock", 0)
    assert lock is not None
    steps: list[str] = []
    with (
        lock,
        pytest.raises(ServiceDidNotStart, match=r"fuser -k .*servers\.lock"),
        owned_folder(tmp_path, steps.append),
    ):
        pass
    assert steps == ["waiting for the services of the last run to stop"]
