"""The embedded services: started, shared, kept and refused."""

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis
import sqlalchemy
from psycopg import sql

from app.domain.errors import FolderInUse, FolderNotWritable, ServiceDidNotStart
from app.embedded.services import embedded_services, owner_of, record_address, running_endpoints
from tests.app.embedded.conftest import NO_SYNC
from tests.app.embedded.owner import ADDRESS, OwnerProcess, wait_until_dead


@pytest.fixture(scope="module")
def owner(used_folder: Path) -> Iterator[tuple[OwnerProcess, Path]]:
    """Another process that owns a folder."""
    folder = Path(tempfile.mkdtemp(prefix="fn-"))
    shutil.copytree(used_folder, folder, dirs_exist_ok=True)
    process = OwnerProcess(folder)
    process.wait_for("ready")
    yield process, folder
    wait_until_dead(process.kill(), 5)
    shutil.rmtree(folder)


def test_the_role_is_bound_by_row_level_security_and_may_create_databases(endpoints: tuple[str, str]) -> None:
    with psycopg.connect(endpoints[0]) as connection:
        role = "SELECT rolname, rolsuper, rolbypassrls, rolcreatedb FROM pg_roles WHERE rolname = current_user"
        assert connection.execute(role).fetchone() == ("footnote", False, False, True)
        owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
        assert connection.execute(owner).fetchone() == ("footnote",)


def test_new_databases_have_pgvector_and_trusted_extensions(new_database) -> None:
    with psycopg.connect(new_database(None)) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")  # as a migration would
        connection.execute("CREATE EXTENSION pg_trgm")
        assert connection.execute("SELECT '[3,4]'::halfvec <-> '[0,0]'").fetchone() == (5.0,)


def test_sqlalchemy_takes_the_url(endpoints: tuple[str, str]) -> None:
    engine = sqlalchemy.create_engine(endpoints[0].replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT current_user")).scalar() == "footnote"
    engine.dispose()


@pytest.mark.parametrize(
    ("setting", "value"),
    [("fsync", "on"), ("synchronous_commit", "on"), ("jit", "off"), ("listen_addresses", ""), ("TimeZone", "UTC")],
)
def test_postgresql_keeps_what_was_committed_and_listens_on_no_address(
    owner: tuple[OwnerProcess, Path], setting: str, value: str
) -> None:
    services = running_endpoints(owner[1])
    assert services is not None
    with psycopg.connect(services.database_url) as connection:
        shown = connection.execute(sql.SQL("SHOW {}").format(sql.Identifier(setting))).fetchone()
    assert shown == (value,)


def test_valkey_writes_a_log_and_never_drops_what_has_no_lifetime(endpoints: tuple[str, str]) -> None:
    with redis.Redis.from_url(endpoints[1]) as client:
        config = client.config_get("append*", "maxmemory-policy", "port")
    assert (config["appendonly"], config["appendfsync"]) == ("yes", "everysec")
    assert (config["maxmemory-policy"], config["port"]) == ("volatile-lru", "0")


def test_data_is_kept_and_the_first_start_alone_makes_the_database(short_path: Path) -> None:
    folder = short_path / "data"
    steps: list[str] = []
    with embedded_services(folder, on_progress=steps.append, settings=NO_SYNC) as services:
        with psycopg.connect(services.database_url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 'in PostgreSQL' AS word")
        with redis.Redis.from_url(services.redis_url) as client:
            client.set("kept", "in Valkey")
    assert any("once" in step for step in steps)
    assert running_endpoints(folder) is None
    steps.clear()

    with embedded_services(folder, on_progress=steps.append, settings=NO_SYNC) as services:
        with psycopg.connect(services.database_url) as connection:
            assert connection.execute("SELECT word FROM kept").fetchone() == ("in PostgreSQL",)
        with redis.Redis.from_url(services.redis_url, decode_responses=True) as client:
            assert client.get("kept") == "in Valkey"
    assert not any("once" in step for step in steps)


def test_a_first_start_that_failed_half_way_is_completed_by_the_next(short_path: Path) -> None:
    read_only = {**NO_SYNC, "default_transaction_read_only": "on"}
    with (
        pytest.raises(ServiceDidNotStart, match="read-only transaction"),
        embedded_services(short_path, settings=read_only),
    ):
        pass
    with embedded_services(short_path, settings=NO_SYNC) as services, psycopg.connect(services.database_url) as there:
        assert there.execute("SELECT '[1]'::vector <-> '[3]'").fetchone() == (2.0,)


def test_another_process_finds_the_services_and_their_owner(owner: tuple[OwnerProcess, Path]) -> None:
    process, folder = owner
    services = running_endpoints(folder)
    assert services is not None
    with psycopg.connect(services.database_url) as connection, redis.Redis.from_url(services.redis_url) as client:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert client.ping()
    found = owner_of(folder)
    assert found is not None
    assert (found.pid, found.address) == (process.pid, ADDRESS)
    assert found.command.startswith("owner.py")


def test_a_second_owner_is_refused_and_told_who_is_there(owner: tuple[OwnerProcess, Path]) -> None:
    process, folder = owner
    with pytest.raises(FolderInUse) as refused, embedded_services(folder):
        pass
    for part in (str(folder), f"process {process.pid}", "owner.py", ADDRESS, f"kill {process.pid}", "--data-dir"):
        assert part in refused.value.message
    assert running_endpoints(folder) is not None, "the owner is not disturbed"


def test_only_the_owner_records_an_address(owner: tuple[OwnerProcess, Path], tmp_path: Path) -> None:
    for folder in (owner[1], tmp_path):
        with pytest.raises(FolderInUse, match="does not own"):
            record_address(folder, "http://127.0.0.1:1")


def test_what_the_folder_holds_is_private(owner: tuple[OwnerProcess, Path]) -> None:
    _, folder = owner
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert {name: mode for name, mode in modes.items() if name in {"sockets", "postgres", "valkey"}} == {
        "sockets": 0o700,
        "postgres": 0o700,
        "valkey": 0o700,
    }
    assert {mode for name, mode in modes.items() if name.startswith(("owner", "servers")) or name.endswith(".log")} == {
        0o600
    }


def test_nobody_owns_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert owner_of(tmp_path / "missing") is None
    assert running_endpoints(tmp_path / "missing") is None


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(FolderNotWritable, match=r"file/data.*--data-dir"), embedded_services(tmp_path / "file/data"):
        pass


def test_a_refused_setting_shows_the_end_of_the_log(short_path: Path, put_used_folder: Callable[[Path], Path]) -> None:
    folder = put_used_folder(short_path / "data")
    with (
        pytest.raises(ServiceDidNotStart) as failed,
        embedded_services(folder, settings={**NO_SYNC, "shared_buffers": "plenty"}),
    ):
        pass
    assert 'invalid value for parameter "shared_buffers": "plenty"' in failed.value.message
    assert str(folder / "postgres.log") in failed.value.message
    assert "DATABASE_URL" in failed.value.message
    assert owner_of(folder) is None, "the folder is free again"


def test_a_log_that_has_grown_large_is_set_aside(short_path: Path, put_used_folder: Callable[[Path], Path]) -> None:
    folder = put_used_folder(short_path / "data")
    (folder / "postgres.log").write_bytes(b"an old line\n" * 1_000_000)
    with pytest.raises(ServiceDidNotStart) as failed, embedded_services(folder, settings={"port": "none"}):
        pass
    assert "an old line" not in failed.value.message
    assert (folder / "postgres.old.log").stat().st_size == 12_000_000
    assert (folder / "postgres.log").stat().st_size < 10_000


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    strange = tmp_path / "postgres" / "letter.txt"
    strange.parent.mkdir()
    strange.write_text("dear all")
    with pytest.raises(ServiceDidNotStart, match="move it away"), embedded_services(tmp_path):
        pass
    assert strange.read_text() == "dear all"


def test_a_path_too_long_and_too_odd_for_sockets_works(tmp_path: Path, put_used_folder: Callable[[Path], Path]) -> None:
    folder = put_used_folder(tmp_path / f"a b,c+d%20'\"?&=#{'y' * 90}")
    with embedded_services(folder, settings=NO_SYNC) as services:
        sockets = (folder / "sockets").readlink()
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
        with psycopg.connect(services.database_url) as connection, redis.Redis.from_url(services.redis_url) as client:
            assert connection.execute("SELECT 1").fetchone() == (1,)
            assert client.ping()
    assert not sockets.exists()
    assert not (folder / "sockets").is_symlink()


def test_the_process_id_of_another_run_is_no_obstacle(
    short_path: Path, put_used_folder: Callable[[Path], Path]
) -> None:
    """After a container's restart the old server's number may be that of some living process."""
    folder = put_used_folder(short_path / "data")
    stale = folder / "postgres" / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{folder}/postgres\n1700000000\n5432\n{folder}/sockets\n\n\n")
    with embedded_services(folder, settings=NO_SYNC) as services, psycopg.connect(services.database_url) as there:
        assert there.execute("SELECT 1").fetchone() == (1,)
