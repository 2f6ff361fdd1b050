"""Re-ingesting over HTTP: an upload's file is kept, read once more when wanted, and goes with its document."""

import asyncio
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.domain.principal import DEFAULT_WORKSPACE_ID
from app.settings import Settings
from app.storage.documents import DocumentStore
from ingestion import worker as worker_module
from ingestion.opening import opened_database
from ingestion.pipeline import Report
from ingestion.worker import open_worker
from tests.fixtures.syncing import Syncing
from tests.fixtures.uploading import LAMP, files_kept, found, job_of, upload, work

THIRTY = LAMP.replace(b"twenty", b"thirty")


async def uploaded(client: httpx.AsyncClient, settings: Settings, *file: Any) -> dict[str, Any]:
    """The job of an upload, once it is done."""
    taken = await upload(client, *file)
    await work(settings)
    job = await job_of(client, taken)
    assert job["state"] == "done"
    return job


async def reingest(client: httpx.AsyncClient, document_id: object) -> httpx.Response:
    return await client.post(f"/v1/documents/{document_id}/reingest")


async def document(client: httpx.AsyncClient, document_id: object, **query: str) -> dict[str, Any]:
    return dict((await client.get(f"/v1/documents/{document_id}", params=query)).json())


def zip_of(**texts: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, text in texts.items():
            archive.writestr(f"{name}.md", text)
    return data.getvalue()


async def test_the_kept_file_becomes_a_new_version_and_nothing_is_embedded_twice(
    client: httpx.AsyncClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await uploaded(client, settings)
    before = await document(client, job["document_id"])
    taken = await reingest(client, job["document_id"])
    assert (taken.status_code, taken.headers["location"]) == (202, f"/v1/jobs/{job['id']}")
    assert [taken.json()[key] for key in ("id", "state", "attempts")] == [job["id"], "queued", 0]
    async with open_worker(settings) as worker:
        monkeypatch.setattr(worker._embedder, "embed_passages", None)
        await worker.run(concurrency=1, wait=False)
    done = await job_of(client, taken)
    assert [done[key] for key in ("state", "attempts", "chunks", "document_id")] == ["done", 1, 1, before["id"]]
    now = await document(client, job["document_id"])
    assert now["version_id"] != before["version_id"]
    kept = await document(client, job["document_id"], version=before["version_id"])
    assert (kept["text"], kept["current"]) == (before["text"], False)
    assert len(await found(client, "lamp miles")) == 1
    assert files_kept(settings) == {job["id"]}


async def test_a_file_that_is_better_read_now_is_found_by_what_was_missed(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    job = await uploaded(client, settings)
    (settings.uploads_dir / str(job["id"])).write_bytes(LAMP + b"\nIts keeper was Ada.\n")  # as if it had been missed
    await reingest(client, job["document_id"])
    await work(settings)
    assert len(await found(client, "keeper Ada")) == 1


async def test_what_waits_already_is_not_queued_twice(client: httpx.AsyncClient, settings: Settings) -> None:
    job = await uploaded(client, settings)
    first, second = await asyncio.gather(*[reingest(client, job["document_id"]) for _ in range(2)])
    assert first.json() == second.json()
    await work(settings)
    assert (await job_of(client, first))["attempts"] == 1
    newer = (await upload(client, "lamp.md", THIRTY)).json()["job"]
    assert (await reingest(client, job["document_id"])).json() == newer


async def test_the_same_file_can_be_taken_again(client: httpx.AsyncClient, settings: Settings) -> None:
    job = await uploaded(client, settings)
    before = await document(client, job["document_id"])
    taken = await upload(client, again="true")
    assert (taken.status_code, taken.json()["duplicate"]) == (202, False)
    await work(settings)
    done = await job_of(client, taken)
    assert (done["state"], done["document_id"]) == ("done", job["document_id"])
    assert (await document(client, job["document_id"]))["version_id"] != before["version_id"]
    assert files_kept(settings) == {done["id"]}


async def test_only_the_file_of_the_last_version_is_kept(client: httpx.AsyncClient, settings: Settings) -> None:
    await uploaded(client, settings)
    last = await uploaded(client, settings, "lamp.md", THIRTY)
    assert files_kept(settings) == {last["id"]}
    broken = await job_of(client, await upload(client, "lamp.md", b"%PDF-1.7\nnothing of a PDF follows"))
    await work(settings)
    assert files_kept(settings) == {last["id"], broken["id"]}
    assert (await reingest(client, last["document_id"])).json()["id"] == last["id"]
    await work(settings)
    assert [text.strip().endswith("thirty miles.") for text in await found(client, "lamp miles")] == [True]


async def test_one_that_fails_leaves_the_document_and_can_be_tried_again(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    data = LAMP + b"\n" * 1_000
    job = await uploaded(client, settings, "lamp.md", data)
    taken = await reingest(client, job["document_id"])
    await work(settings.model_copy(update={"max_file_bytes": 1_024}))
    failed = await job_of(client, taken)
    assert (failed["state"], failed["document_id"]) == ("failed", job["document_id"])
    assert len(await found(client, "lamp miles")) == 1
    assert (await reingest(client, job["document_id"])).json()["state"] == "queued"
    await work(settings)
    assert (await job_of(client, taken))["state"] == "done"


async def test_what_cannot_be_done_says_what_can(
    client: httpx.AsyncClient, settings: Settings, ingest: Callable[..., Report], syncing: Syncing, tmp_path: Path
) -> None:
    (tmp_path / "wick.md").write_text("The wick is of cotton.")
    syncing.write("oil.md", "The oil is of rape.")
    await asyncio.to_thread(ingest, tmp_path / "wick.md")
    await asyncio.to_thread(syncing)
    by_uri = {one["uri"]: one["id"] for one in (await client.get("/v1/documents")).json()["documents"]}
    said = dict[str, tuple[int, str, str]]()
    for uri, document_id in by_uri.items():
        problem = (response := await reingest(client, document_id)).json()
        said[uri.rpartition("/")[2]] = (response.status_code, problem["code"], problem["detail"])
    assert said["wick.md"][:2] == said["oil.md"][:2] == (409, "not_uploaded")
    assert "`footnote ingest PATH --again`" in said["wick.md"][2]
    assert "`footnote sync docs --again`" in said["oil.md"][2]
    gone = await reingest(client, "00000000-0000-7000-8000-000000000009")
    assert (gone.status_code, gone.json()["code"]) == (404, "document_not_found")

    taken = await upload(client)
    await work(settings.model_copy(update={"keep_uploads": False}))
    assert files_kept(settings) == set()
    response = await reingest(client, (await job_of(client, taken))["document_id"])
    assert (response.status_code, response.json()["code"]) == (409, "file_not_kept")
    assert "again=true" in response.json()["detail"]


async def test_the_file_goes_with_its_document(client: httpx.AsyncClient, settings: Settings) -> None:
    job = await uploaded(client, settings)
    other = await uploaded(client, settings, "other.md", b"The other one.")
    assert (await client.delete(f"/v1/documents/{job['document_id']}")).status_code == 204
    assert files_kept(settings) == {other["id"]}
    assert (await reingest(client, job["document_id"])).status_code == 404


async def test_the_file_of_an_archive_goes_with_the_last_document_of_it(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    job = await uploaded(client, settings, "all.zip", zip_of(bees="Bees make honey.", cats="Cats sleep."))
    listed = (await client.get("/v1/documents")).json()["documents"]
    assert [one["uri"] for one in listed] == ["upload:all.zip!/bees.md", "upload:all.zip!/cats.md"]
    before = [await document(client, one["id"]) for one in listed]
    assert (await reingest(client, listed[1]["id"])).json()["id"] == job["id"]
    await work(settings)
    after = [await document(client, one["id"]) for one in listed]
    assert all(old["version_id"] != new["version_id"] for old, new in zip(before, after, strict=True))
    await client.delete(f"/v1/documents/{listed[0]['id']}")
    assert files_kept(settings) == {job["id"]}
    await client.delete(f"/v1/documents/{listed[1]['id']}")
    assert files_kept(settings) == set()


async def test_what_an_archive_has_no_more_goes_with_its_next_upload(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    await uploaded(client, settings, "all.zip", zip_of(bees="Bees make honey.", cats="Cats sleep."))
    await uploaded(client, settings, "other.zip", zip_of(bees="Other bees make wax."))
    last = await uploaded(client, settings, "all.zip", zip_of(bees="Bees make honey.", dogs="Dogs bark."))
    uris = ["upload:all.zip!/bees.md", "upload:all.zip!/dogs.md", "upload:other.zip!/bees.md"]
    assert [one["uri"] for one in (await client.get("/v1/documents")).json()["documents"]] == uris
    assert await found(client, "cats sleep") == []
    assert last["chunks"] == 2

    for broken, said in ((b" ", "There is no text"), (b"PK\x03\x04", "damaged")):
        taken = await upload(client, "all.zip", broken)
        await work(settings)
        job = await job_of(client, taken)
        assert (job["state"], said in str(job["problem"])) == ("failed", True)
    assert [one["uri"] for one in (await client.get("/v1/documents")).json()["documents"]] == uris


@pytest.mark.parametrize("at_work", [False, True], ids=["waiting", "at work"])
async def test_a_document_that_is_deleted_meanwhile_does_not_come_back(
    client: httpx.AsyncClient, settings: Settings, monkeypatch: pytest.MonkeyPatch, *, at_work: bool
) -> None:
    job = await uploaded(client, settings)
    taken = await reingest(client, job["document_id"])
    if at_work:
        ingest = worker_module.ingest

        async def late(*arguments: Any) -> Report:
            async with opened_database(settings) as database:
                await DocumentStore(database).delete(DEFAULT_WORKSPACE_ID, UUID(job["document_id"]))
            return await ingest(*arguments)

        monkeypatch.setattr(worker_module, "ingest", late)
    else:
        assert (await client.delete(f"/v1/documents/{job['document_id']}")).status_code == 204
        assert files_kept(settings) == {job["id"]}, "its job still waits"
    await work(settings)
    done = await job_of(client, taken)
    assert (done["state"], done["document_id"]) == ("done", None)
    assert (await client.get("/v1/documents")).json()["documents"] == []
    assert files_kept(settings) == set()
