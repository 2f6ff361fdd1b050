"""An owner that is killed: its servers go with it, the data stays."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from app.embedded.services import embedded_services, running_endpoints
from tests.app.embedded.owner import OwnerProcess, wait_until_dead

GONE_WITHIN_S = 3


def test_kill_9_stops_busy_servers_and_the_next_start_has_the_data(
    tmp_path: Path, put_used_folder: Callable[[Path], Path]
) -> None:
    folder = put_used_folder(tmp_path / "data")
    owner = OwnerProcess(folder, "fork")
    owner.wait_for("ready")
    services = running_endpoints(folder)
    assert services is not None
    with psycopg.connect(services.database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
        # A query that computes for minutes and does not look around, and one in a transaction that never ends.
        busy = psycopg.connect(services.database_url)
        busy.pgconn.send_query(b"INSERT INTO kept SELECT 0; SELECT count(*) FROM generate_series(1, 10000000000)")
        time.sleep(0.1)
        [forked] = [process for process in owner.started() if "tests.app.embedded.owner" in process.cmdline()]
        servers = [process for process in owner.kill() if process != forked]
    try:
        assert len(servers) > 4
        assert wait_until_dead(servers, GONE_WITHIN_S) == []
        assert forked.is_running(), "a forked child that lives on does not keep the servers alive"
    finally:
        os.kill(forked.pid, signal.SIGKILL)
        busy.close()

    with embedded_services(folder) as services, psycopg.connect(services.database_url) as connection:
        assert connection.execute("SELECT count(*), min(n) FROM kept").fetchone() == (1000, 1)


def test_kill_9_in_the_first_start_leaves_nothing_running_and_nothing_half_made(tmp_path: Path) -> None:
    for step in ("creating the database", "starting PostgreSQL"):
        owner = OwnerProcess(tmp_path)
        owner.wait_for(step)
        while len(owner.started()) < 4:  # both servers, or initdb, and their watchers
            time.sleep(0.005)
        assert wait_until_dead(owner.kill(), GONE_WITHIN_S) == []

    with embedded_services(tmp_path) as services, psycopg.connect(services.database_url) as connection:
        assert connection.execute("SELECT '[1]'::vector <-> '[3]'").fetchone() == (2.0,)


def test_the_next_owner_waits_for_servers_that_are_still_stopping(
    tmp_path: Path, put_used_folder: Callable[[Path], Path]
) -> None:
    folder = put_used_folder(tmp_path / "data")
    owner = OwnerProcess(folder)
    owner.wait_for("ready")
    started = owner.kill()
    with embedded_services(folder):
        assert wait_until_dead(started, 0) == []
