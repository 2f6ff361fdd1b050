"""Ingestion on a Ray cluster: as on one machine, also when a machine is lost in the middle."""

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.domain.errors import ConfigurationError, InvalidInput, MissingKey
from app.settings import Settings
from evals.drills.cluster import LocalCluster
from evals.drills.edits import Tree
from evals.drills.stored import HALF, STORE, different, rows
from ingestion.cli import ingest_files
from ingestion.pipeline import Report
from ingestion.sources.files import find_files


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    """Two nodes of one processor each."""
    with LocalCluster(1, 1) as running:
        yield running


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Documents, one of them damaged."""
    made = Tree.of(None, tmp_path / "docs", random.Random(5), files=60)
    (made.folder / "broken.pdf").write_bytes(b"%PDF-1.7\nno page")
    return made


async def test_a_lost_machine_costs_nothing_but_time(
    cluster: LocalCluster,
    tree: Tree,
    settings: Settings,
    new_database: Callable[[str | None], str],
    template: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
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

    unusable = settings.model_copy(update={"embedder": "openai:text-embedding-3-small"})
    with pytest.raises(MissingKey):  # found out on the other machine, told here
        await ingest_files(unusable, files, "other", lambda _report: None, on="ray")

    tree.add()
    command = [sys.executable, "-m", "app.cli", "ingest", str(tree.folder), "--collection", "docs", "--json"]
    assert settings.database_url is not None
    monkeypatch.setenv("DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("FOOTNOTE_EMBEDDER", "scripted")
    done = await asyncio.to_thread(subprocess.run, [*command, "--on", cluster.client_address], stdout=subprocess.PIPE)
    report = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, report["added"], report["unchanged"]) == (1, 1, 60)


@pytest.mark.parametrize(
    ("address", "error", "message"),
    [("spark", InvalidInput, "takes `ray`"), ("ray", ConfigurationError, "No Ray cluster answers")],
)
async def test_an_address_without_a_cluster(
    settings: Settings, address: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        await ingest_files(settings, [], "docs", lambda _report: None, on=address)
