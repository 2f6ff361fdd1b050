"""The worker: what it tries again, what it gives up, what is due, and its commands."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import httpx
import pytest
from procrastinate import JobContext
from pydantic import SecretStr

from app.domain.document import CollectionSummary
from app.domain.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    FootnoteError,
    ProviderUnavailable,
    SourceUnavailable,
    SyncRunning,
)
from app.domain.job import DELETED, Job, JobState, Upload
from app.domain.principal import DEFAULT_WORKSPACE_ID, Principal
from app.embedded.connect import environment_of
from app.services.uploads import Uploads
from app.settings import Settings
from app.storage.documents import DocumentStore
from app.storage.engine import Database
from app.storage.jobs import JobStore, new_job_id
from app.storage.queue import open_queue
from ingestion import worker as worker_module
from ingestion.sources.declared import read_sources
from ingestion.worker import MAX_ATTEMPTS, SYNC_UNEXPECTED, UNEXPECTED, Worker, open_worker
from ingestion.worker_cli import _told
from tests.fixtures.proxy import Door

TEXT = b"The lamp is seen for twenty miles.\n"
# A job that was done in another workspace, whose document is gone.
_DONE_ELSEWHERE = """
INSERT INTO job (id, workspace_id, state, collection, name, size_bytes, sha256, chunks)
VALUES (%(id)s, %(workspace)s, 'done', 'island', 'e.txt', 1, '', 1)
"""


async def enqueue(settings: Settings, name: str = "lamp.txt", *, again: bool = False) -> UUID:
    """An upload as the API takes it."""
    assert settings.database_url is not None
    database = Database(settings.database_url.get_secret_value(), pool_size=1)
    await database.open()
    job_id = new_job_id()
    settings.uploads_dir.mkdir(parents=True, exist_ok=True)
    (settings.uploads_dir / str(job_id)).write_bytes(TEXT)
    store = JobStore(database, open_queue(database.url))
    await store.add(DEFAULT_WORKSPACE_ID, job_id, Upload("island", name, len(TEXT), name.encode()), again=again)
    await database.close()
    return job_id


async def look(worker: Worker, job_id: UUID) -> Job:
    return await worker._jobs.get(DEFAULT_WORKSPACE_ID, job_id)


async def test_a_provider_that_fails_is_tried_again_and_given_up_in_the_end(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await enqueue(settings)
    async with open_worker(settings) as worker:

        async def failing(*_arguments: object) -> None:
            raise ProviderUnavailable("The embedder is away.")

        with monkeypatch.context() as patched:
            patched.setattr(worker._embedder, "embed_passages", failing)
            for attempt in range(1, MAX_ATTEMPTS):
                with pytest.raises(ProviderUnavailable):
                    await worker.upload(str(DEFAULT_WORKSPACE_ID), str(job_id))
                job = await look(worker, job_id)
                assert (job.state, job.attempts, job.problem) == (JobState.QUEUED, attempt, "The embedder is away.")
            await worker.upload(str(DEFAULT_WORKSPACE_ID), str(job_id))
        assert (await look(worker, job_id)).state == JobState.FAILED
        await worker._jobs.retry(DEFAULT_WORKSPACE_ID, job_id)
        await worker.upload(str(DEFAULT_WORKSPACE_ID), str(job_id))
        job = await look(worker, job_id)
        assert (job.state, job.attempts, job.problem) == (JobState.DONE, 1, None)
        await worker.upload(str(DEFAULT_WORKSPACE_ID), str(job_id))  # a job that has ended is not begun again
        assert (await look(worker, job_id)).attempts == 1


async def test_a_fault_that_nobody_expected_fails_the_job_at_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await enqueue(settings)
    async with open_worker(settings) as worker:

        async def crashing(*_arguments: object) -> None:
            raise RuntimeError("A secret of the machine.")

        monkeypatch.setattr(worker._embedder, "embed_passages", crashing)
        await worker.run(concurrency=1, wait=False)
        job = await look(worker, job_id)
    assert (job.state, job.attempts, job.problem) == (JobState.FAILED, 1, UNEXPECTED)


@pytest.mark.parametrize("error", [ProviderUnavailable("The embedder is away."), None])
@pytest.mark.parametrize("again", [False, True])
async def test_a_collection_that_is_deleted_while_a_file_is_made_a_document_stays_deleted(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, error: FootnoteError | None, again: bool
) -> None:
    job_id = await enqueue(settings)
    async with open_worker(settings) as worker:
        uploads = Uploads(worker._jobs, worker._files, DocumentStore(worker._database), worker._scheduled)
        if again:
            await worker.run(concurrency=1, wait=False)
            [document] = await DocumentStore(worker._database).page(DEFAULT_WORKSPACE_ID, "island", limit=1, offset=0)
            await uploads.reingest(Principal(), document.id)
        open_with = worker_module.open_with

        async def deleting(*arguments: Any, **options: Any) -> Any:
            opened = await open_with(*arguments, **options)
            await uploads.delete_collection(Principal(), "island")
            if error is not None:
                raise error
            return opened

        with monkeypatch.context() as patched:
            patched.setattr(worker_module, "open_with", deleting)
            with suppress(ProviderUnavailable):
                await worker.upload(str(DEFAULT_WORKSPACE_ID), str(job_id))
        await worker.upload(str(DEFAULT_WORKSPACE_ID), str(job_id))  # as the queue would
        job = await look(worker, job_id)
        assert (job.state, job.problem) == (JobState.FAILED, DELETED)
        assert await DocumentStore(worker._database).collections(DEFAULT_WORKSPACE_ID) == []
        await worker._jobs.retry(DEFAULT_WORKSPACE_ID, job_id)
        await worker.run(concurrency=1, wait=False)
        assert (await look(worker, job_id)).state == JobState.DONE
        assert await DocumentStore(worker._database).collections(DEFAULT_WORKSPACE_ID) == [
            CollectionSummary("island", 1)
        ]


async def test_a_collection_that_is_deleted_just_after_a_job_was_begun_is_not_made_anew(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await enqueue(settings)
    async with open_worker(settings) as worker:
        store, open_with = DocumentStore(worker._database), worker_module.open_with
        await store.ensure_collection(DEFAULT_WORKSPACE_ID, "island")

        async def too_late(*arguments: Any, **options: Any) -> Any:
            await store.delete_collection(DEFAULT_WORKSPACE_ID, "island")
            return await open_with(*arguments, **options)

        monkeypatch.setattr(worker_module, "open_with", too_late)
        await worker.run(concurrency=1, wait=False)
        job = await look(worker, job_id)
        assert (job.state, job.problem) == (JobState.FAILED, DELETED)
        assert await store.collections(DEFAULT_WORKSPACE_ID) == []


async def test_a_file_that_ends_every_worker_is_given_up(settings: Settings) -> None:
    job_id = await enqueue(settings)
    async with open_worker(settings) as worker:
        for _ in range(MAX_ATTEMPTS):
            await worker._jobs.begin(DEFAULT_WORKSPACE_ID, job_id)
        await worker.upload(str(DEFAULT_WORKSPACE_ID), str(job_id))
        job = await look(worker, job_id)
    assert job.state == JobState.FAILED
    assert "never ended" in str(job.problem)


async def test_what_a_lost_worker_had_taken_is_put_back(settings: Settings) -> None:
    job_id = await enqueue(settings)
    async with open_worker(settings) as lost:
        manager = lost._queue.job_manager
        worker_id = await manager.register_worker()
        taken = await manager.fetch_job(queues=None, worker_id=worker_id)
        assert taken is not None
        await lost._jobs.begin(DEFAULT_WORKSPACE_ID, job_id)
        await lost._queue.connector.execute_query_async(
            "UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour'"
        )
    async with open_worker(settings) as worker:
        await worker.recover(0)
        await worker.run(concurrency=1, wait=False)
        job = await look(worker, job_id)
    assert (job.state, job.attempts) == (JobState.DONE, 2)


async def test_a_worker_outlives_a_restart_of_the_database_and_ends_when_it_is_told_to(
    settings: Settings, door: Callable[[str], Door], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings.database_url is not None
    monkeypatch.setattr(worker_module, "AGAIN_AFTER_S", 0.05)
    url = urlsplit(settings.database_url.get_secret_value())
    where = dict(parse_qsl(url.query))
    to_postgres = door(f"{where['host']}/.s.PGSQL.{where['port']}")
    behind = f"postgresql://{url.username}@127.0.0.1:{to_postgres.port}{url.path}"
    async with (
        asyncio.timeout(30),
        open_worker(settings.model_copy(update={"database_url": SecretStr(behind)})) as worker,
    ):
        lost = asyncio.Event()
        listen = worker._queue.connector.listen_notify

        async def listening(**options: Any) -> None:
            try:
                await listen(**options)
            finally:
                lost.set()

        monkeypatch.setattr(worker._queue.connector, "listen_notify", listening)
        working = asyncio.create_task(worker.run(concurrency=1))

        async def done(job_id: UUID) -> bool:
            while not working.done():
                with suppress(DatabaseUnavailable):
                    if (await look(worker, job_id)).ended:
                        return True
                await asyncio.sleep(0.02)
            return False

        assert await done(await enqueue(settings, "before.txt"))
        to_postgres.shut()
        await lost.wait()
        to_postgres.open()
        assert await done(await enqueue(settings, "after.txt"))
        os.kill(os.getpid(), signal.SIGTERM)
        await working


async def test_files_that_nobody_needs_are_swept(settings: Settings) -> None:
    before, last, deleted, failed, waiting, elsewhere = [
        await enqueue(settings, name, again=True) for name in ("a.txt", "a.txt", "b.txt", "c.txt", "d.txt", "e.txt")
    ]
    unknown = settings.uploads_dir / str(new_job_id())
    for path in (unknown, settings.uploads_dir / "note.txt"):
        path.write_bytes(TEXT)
    other = UUID("00000000-0000-7000-8000-00000000000b")
    async with open_worker(settings) as worker:
        for job_id in (before, last, deleted, elsewhere):
            await worker.upload(str(DEFAULT_WORKSPACE_ID), str(job_id))
        await worker._jobs.begin(DEFAULT_WORKSPACE_ID, failed)
        await worker._jobs.fail(DEFAULT_WORKSPACE_ID, failed, "It is not to be.")
        async with worker._database.connection(other) as connection:
            await connection.execute("INSERT INTO workspace (id, name) VALUES (%s, 'other')", (other,))
            await connection.execute(_DONE_ELSEWHERE, {"id": new_job_id(), "workspace": other})
            [(foreign,)] = await (await connection.execute("SELECT id FROM job")).fetchall()
        (settings.uploads_dir / str(foreign)).write_bytes(TEXT)
        (settings.uploads_dir / str(before)).write_bytes(TEXT)  # as if its worker had been killed before it could go
        store = DocumentStore(worker._database)
        for document in await store.page(DEFAULT_WORKSPACE_ID, "island", limit=10, offset=0):
            if document.uri == "upload:b.txt":
                await store.delete(DEFAULT_WORKSPACE_ID, document.id)
        await worker.recover(0)
        kept = {str(job_id) for job_id in (last, failed, waiting, elsewhere)} | {unknown.name, "note.txt"}
        assert {path.name for path in settings.uploads_dir.iterdir()} == kept
    async with open_worker(settings.model_copy(update={"keep_uploads": False})) as worker:
        await worker.recover(0)
    kept -= {str(last), str(elsewhere)}
    assert {path.name for path in settings.uploads_dir.iterdir()} == kept


async def test_sources_with_a_schedule_are_synced_when_they_are_due(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "lamp.md").write_bytes(TEXT)
    (tmp_path / "footnote.toml").write_text(
        '[sources.nightly]\ntype = "files"\npaths = ["docs"]\ncollection = "c"\nschedule = "0 3 * * *"\n'
        '[sources.never]\ntype = "files"\npaths = ["docs"]\n'
    )
    sources = read_sources(tmp_path / "footnote.toml")
    async with open_worker(settings) as worker:
        assert worker.schedule(list(sources.values())) == 1
        task = worker._queue.tasks["footnote.sync.nightly"]
        await task.defer_async(timestamp=0)
        await worker.run(concurrency=1, wait=False)
        found = await DocumentStore(worker._database).collections(DEFAULT_WORKSPACE_ID)
        async with worker._database.connection(DEFAULT_WORKSPACE_ID) as connection:
            await connection.execute("UPDATE document SET source = 'daily'")
        await task.defer_async(timestamp=1)
        await worker.run(concurrency=1, wait=False)
        async with worker._database.connection(DEFAULT_WORKSPACE_ID) as connection:
            owners = await (await connection.execute("SELECT source FROM document")).fetchall()
    assert found == [CollectionSummary("c", 1)]
    assert owners == [("nightly",)], "taken over from a source that is declared no longer"


async def test_a_worker_leaves_the_syncs_of_sources_that_it_does_not_know_to_others(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "lamp.md").write_bytes(TEXT)
    name = "nightly-" * 8
    sources = tmp_path / "footnote.toml"
    sources.write_text(f'[sources.{name}]\ntype = "files"\npaths = ["lamp.md"]\nschedule = "0 3 * * *"\n')
    async with open_worker(settings) as one, open_worker(settings) as other:
        one.schedule(list(read_sources(sources).values()))
        await one._queue.tasks[f"footnote.sync.{name}"].defer_async(timestamp=0)
        await other.run(concurrency=1, wait=False)
        [waiting] = await one._queue.job_manager.list_jobs_async()
        await one.run(concurrency=1, wait=False)
        found = await DocumentStore(one._database).collections(DEFAULT_WORKSPACE_ID)
    assert waiting.status == "todo"
    assert found == [CollectionSummary("default", 1)]


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (SourceUnavailable("The site is away."), "todo"),
        (ProviderUnavailable("The embedder is away."), "todo"),
        (DatabaseUnavailable(), "todo"),
        (ConfigurationError("A variable is not set."), "failed"),
        (SyncRunning(), None),
    ],
)
async def test_a_sync_that_is_due_is_tried_again_when_what_it_needs_is_away(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: FootnoteError, state: str | None
) -> None:
    sources = tmp_path / "footnote.toml"
    sources.write_text('[sources.nightly]\ntype = "files"\npaths = ["docs"]\nschedule = "0 3 * * *"\n')

    async def failing(*_arguments: object) -> None:
        raise error

    monkeypatch.setattr("ingestion.worker.sync", failing)
    async with open_worker(settings) as worker:
        worker.schedule(list(read_sources(sources).values()))
        await worker._queue.tasks["footnote.sync.nightly"].defer_async(timestamp=0)
        await worker.run(concurrency=1, wait=False)
        jobs = list(await worker._queue.job_manager.list_jobs_async(task="footnote.sync.nightly"))
        await worker.recover(0)
        left = list(await worker._queue.job_manager.list_jobs_async(task="footnote.sync.nightly"))
    assert [job.status for job in jobs] == [job.status for job in left] == ([] if state is None else [state])
    assert [job.scheduled_at is not None for job in jobs if job.status == "todo"] == [True] * (state == "todo")


async def test_a_sync_that_became_due_once_more_meanwhile_is_tried_once(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = tmp_path / "footnote.toml"
    sources.write_text('[sources.nightly]\ntype = "files"\npaths = ["docs"]\nschedule = "0 3 * * *"\n')
    async with open_worker(settings) as worker:
        worker.schedule(list(read_sources(sources).values()))
        task, manager = worker._queue.tasks["footnote.sync.nightly"], worker._queue.job_manager

        async def failing(*_arguments: object) -> None:
            if not await manager.list_jobs_async(task=task.name, status="todo"):
                await task.defer_async(timestamp=1)
            raise SourceUnavailable

        with monkeypatch.context() as patched:
            patched.setattr("ingestion.worker.sync", failing)
            await task.defer_async(timestamp=0)
            taken = await manager.fetch_job(queues=None, worker_id=await manager.register_worker())
            assert taken is not None
            context = JobContext(app=worker._queue, job=taken, start_timestamp=0, abort_reason=lambda: None)
            await worker.sync(read_sources(sources)["nightly"], context, 0)  # the other one is what is left to do
        await worker._queue.connector.execute_query_async(
            "UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour'"
        )
        await worker.recover(0)
        left = list(await manager.list_jobs_async(task=task.name))
    assert [(job.status, job.task_kwargs) for job in left] == [("todo", {"timestamp": 1})]


@pytest.mark.parametrize(
    ("error", "state", "problem"),
    [
        (SourceUnavailable("The site is away."), "queued", "The site is away."),
        (ConfigurationError("A variable is not set."), "failed", "A variable is not set."),
        (RuntimeError("A secret of the machine."), "failed", SYNC_UNEXPECTED),
    ],
)
async def test_a_sync_that_failed_is_listed_until_its_source_is_in_sync(
    client: httpx.AsyncClient,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    state: str,
    problem: str,
) -> None:
    (tmp_path / "docs").mkdir()
    sources = tmp_path / "footnote.toml"
    sources.write_text('[sources.nightly]\ntype = "files"\npaths = ["docs"]\nschedule = "0 3 * * *"\n')

    async def failing(*_arguments: object) -> None:
        raise error

    async def listed(**query: str) -> list[tuple[object, ...]]:
        syncs = (await client.get("/v1/jobs", params=query)).json()["syncs"]
        return [tuple(each[key] for key in ("source", "collection", "state", "attempts", "problem")) for each in syncs]

    async with open_worker(settings) as worker:
        worker.schedule(list(read_sources(sources).values()))
        task = worker._queue.tasks["footnote.sync.nightly"]
        with monkeypatch.context() as patched:
            patched.setattr(worker_module, "sync", failing)
            await task.defer_async(timestamp=0)
            await worker.run(concurrency=1, wait=False)
        assert await listed() == [("nightly", "default", state, 1, problem)]
        assert len(await listed(state="failed")) == (state == "failed")
        assert await listed(state="done") == []
        told = f"{'scheduled sync':<36}  {state:<7}  default: nightly (attempts 1)\n  {problem}\n"
        assert [_told(each) for each in await worker._scheduled.all(DEFAULT_WORKSPACE_ID)] == [told]
        await worker._queue.connector.execute_query_async("UPDATE procrastinate_jobs SET scheduled_at = NULL")
        if state == "failed":
            await task.defer_async(timestamp=1)
        await worker.run(concurrency=1, wait=False)
    assert await listed() == []


async def test_a_sync_whose_source_stays_away_is_given_up_in_the_end(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = tmp_path / "footnote.toml"
    sources.write_text('[sources.nightly]\ntype = "files"\npaths = ["docs"]\nschedule = "0 3 * * *"\n')

    async def failing(*_arguments: object) -> None:
        raise SourceUnavailable("The site is away.")

    monkeypatch.setattr(worker_module, "sync", failing)
    noted = []
    async with open_worker(settings) as worker:
        worker.schedule(list(read_sources(sources).values()))
        await worker._queue.tasks["footnote.sync.nightly"].defer_async(timestamp=0)
        for _ in range(MAX_ATTEMPTS):
            await worker.run(concurrency=1, wait=False)
            [sync] = await worker._scheduled.all(DEFAULT_WORKSPACE_ID)
            noted.append((sync.attempts, sync.state))
            await worker._queue.connector.execute_query_async("UPDATE procrastinate_jobs SET scheduled_at = NULL")
        assert noted == [(1, "queued"), (2, "queued"), (3, "queued"), (4, "queued"), (5, "failed")]
        async with worker._database.connection(DEFAULT_WORKSPACE_ID) as connection:
            await connection.execute("UPDATE scheduled_sync SET updated_at = now() - interval '31 days'")
        await worker.recover(0)
        assert await worker._scheduled.all(DEFAULT_WORKSPACE_ID) == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [("at night", ".*cron line"), ("0 0 31 2 *", ".*no such date"), ("0 0 1 1 * 0 2020", ".*no such date")],
)
def test_a_schedule_that_is_none_is_named(tmp_path: Path, line: str, fault: str) -> None:
    (tmp_path / "footnote.toml").write_text(f'[sources.a]\ntype = "files"\npaths = ["."]\nschedule = "{line}"\n')
    with pytest.raises(ConfigurationError, match=rf"sources\.a\.schedule: {fault}"):
        read_sources(tmp_path / "footnote.toml")


def test_the_commands(settings: Settings, tmp_path: Path) -> None:
    job_id = asyncio.run(enqueue(settings))
    environment = environment_of(settings) | {
        "FOOTNOTE_DATA_DIR": str(settings.data_dir),
        "FOOTNOTE_EMBEDDER": "scripted",
    }

    def footnote(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "app.cli", *arguments]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert json.loads(footnote("jobs", "--json").stdout)["state"] == "queued"
    assert footnote("worker", "--until-empty").returncode == 0
    assert footnote("jobs").stdout == f"{job_id}  done     island: lamp.txt (attempts 1, chunks 1)\n"
    assert json.loads(footnote("jobs", "--json").stdout)["state"] == "done"
    assert footnote("jobs", "--failed", "--json").stdout == ""
    retried = footnote("jobs", "--retry", str(job_id))
    assert retried.returncode != 0
    assert "Only a failed job" in retried.stderr
    empty_id = asyncio.run(enqueue(settings, "empty.txt"))
    (settings.uploads_dir / str(empty_id)).write_bytes(b"")
    assert footnote("worker", "--until-empty").returncode == 0
    told = f"{empty_id}  failed   island: empty.txt (attempts 1)\n  There is no text in the file.\n"
    assert footnote("jobs", "--failed").stdout == told
