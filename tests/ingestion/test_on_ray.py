"""Ingestion on a Ray cluster: as on one machine, also when a machine is lost in the middle."""

import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.domain.errors import ConfigurationError, InvalidInput, MissingKey
from app.domain.principal import DEFAULT_WORKSPACE_ID
from app.settings import Settings
from app.storage.contexts import enable_contexts
from app.storage.documents import DocumentStore
from evals.drills.cluster import LocalCluster
from evals.drills.edits import Tree
from evals.drills.stored import HALF, STORE, different, rows
from ingestion.cli import ingest_files
from ingestion.opening import opened_database
from ingestion.pipeline import Report
from ingestion.sources.files import find_files


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Documents, one of them damaged."""
    made = Tree.of(None, tmp_path / "docs", random.Random(5), files=60)
    (made.folder / "broken.pdf").write_bytes(b"%PDF-1.7\nno page")
    return made


async def by_command(address: str, path: Path, database_url: str) -> None:
    """Ingest a file through Ray's client port, as someone would whose machine is not part of the cluster."""
    environment = {"DATABASE_URL": database_url, "REDIS_URL": "redis://127.0.0.1:1", "FOOTNOTE_EMBEDDER": "scripted"}
    command = [sys.executable, "-m", "app.cli", "ingest", str(path), "--json", "--on", address]
    for _ in range(3):  # right after its start Ray's client port may fail, which is told as no cluster
        done = await asyncio.to_thread(
            subprocess.run, command, env=os.environ | environment, capture_output=True, text=True
        )
        if "No Ray cluster answers" not in done.stderr:
            break
    report = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, report["added"], report["failures"]) == (0, 1, [])


@pytest.mark.timeout(290)  # Ray starts a dozen processes, which takes minutes beside other tests on a slow machine
async def test_a_lost_machine_costs_nothing_but_time(
    tree: Tree,
    settings: Settings,
    new_database: Callable[[str | None], str],
    template: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ConfigurationError, match="No Ray cluster answers"):
        await ingest_files(settings, [], "docs", lambda _report: None, on="ray")
    with LocalCluster(1, 1) as cluster:
        await lose_one(cluster, tree, settings, new_database, template, monkeypatch)


async def lose_one(
    cluster: LocalCluster,
    tree: Tree,
    settings: Settings,
    new_database: Callable[[str | None], str],
    template: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ingest on two nodes, one of which is killed, and compare with an ingestion in this process."""
    await by_command(cluster.client_address, tree.files()[0], new_database(template))
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    files = find_files([tree.folder])
    beside = settings.model_copy(update={"database_url": SecretStr(new_database(template))})
    here = await ingest_files(beside, files, "docs", lambda _report: None)
    lost: list[int] = []

    def lose(report: Report) -> None:
        if report.chunks and not lost:
            cluster.nodes[1].kill()
            lost.append(report.ready)

    there = await ingest_files(settings, files, "docs", lose, on="ray")
    assert 0 < lost[0] < there.ready, "it was lost in the middle"
    assert (there.ingested, there.chunks, there.failures) == (here.ingested, here.chunks, here.failures)
    assert [failure.uri.endswith("broken.pdf") for failure in there.failures] == [True]
    assert there.embedded == here.embedded
    assert different(rows(settings, STORE), rows(beside, STORE)) == 0
    assert rows(settings, HALF) == [(0,)]

    async with opened_database(settings) as database:
        collection_id = await DocumentStore(database).ensure_collection(DEFAULT_WORKSPACE_ID, "situated")
        await enable_contexts(database, DEFAULT_WORKSPACE_ID, collection_id, on=True)
    situated = await ingest_files(settings, files[:3], "situated", lambda _report: None, on="ray")
    assert situated.contexts == situated.embedded == situated.chunks > 0
    assert rows(settings, "SELECT count(*) FROM chunk WHERE context <> ''") == [(situated.chunks,)]

    unusable = settings.model_copy(update={"embedder": "openai:text-embedding-3-small"})
    with pytest.raises(MissingKey):  # found out on the other machine, told here
        await ingest_files(unusable, files, "other", lambda _report: None, on="ray")


async def test_an_address_that_is_none(settings: Settings) -> None:
    with pytest.raises(InvalidInput, match="takes `ray`"):
        await ingest_files(settings, [], "docs", lambda _report: None, on="spark")
