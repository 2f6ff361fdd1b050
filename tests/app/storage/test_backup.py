"""Backups: `pg_dump` and `pg_restore` as the handbook says, and what is found in what was restored."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from app.domain.principal import DEFAULT_WORKSPACE_ID as WORKSPACE
from app.embedded.binaries import postgres_binary
from app.storage.engine import Database
from app.storage.lexemes import wrong_statistics
from tests.app.storage.conftest import Store


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(postgres_binary(program)), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


async def test_a_restored_database_is_searched_as_the_one_before(
    store: Store, new_database: Callable[[str | None], str], tmp_path: Path
) -> None:
    """With a batch of counts that is not added up, and a document that is counted at once."""
    await store.write_all({f"batch:{n}": f"keeper of the lamp {n}" for n in range(40)})
    await store.write("ferry", "The ferry and its keeper.")
    backup, found = tmp_path / "footnote.dump", await store.scores("keeper ferry")
    refused = run("pg_dump", store.database.url, "-Fc", "-f", backup)
    assert "row-level security" in refused.stderr
    superuser = store.database.url.replace("//footnote@", "//postgres@")
    dumped = run("pg_dump", superuser, "-Fc", "-f", backup)
    assert dumped.returncode == 0, dumped.stderr
    url = new_database(None)
    restored = run("pg_restore", "--no-owner", "--no-comments", "--exit-on-error", "-d", url, backup)
    assert restored.returncode == 0, restored.stderr
    database = Database(url, pool_size=2)
    await database.open()
    try:
        async with database.connection(WORKSPACE) as connection:
            assert await wrong_statistics(connection, store.generation.id) == 0
        assert await Store(database, store.generation, store.collections).scores("keeper ferry") == found
    finally:
        await database.close()
