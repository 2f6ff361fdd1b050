"""Uploads over HTTP: files become documents by way of the queue; what goes wrong is told, and nothing is left."""

import asyncio
import errno
import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from sse_starlette.sse import AppStatus

from app.domain.errors import DatabaseUnavailable
from app.domain.job import Job
from app.services import uploads
from app.settings import Settings
from tests.fixtures.server import Server
from tests.fixtures.uploading import LAMP, files_kept, found, job_of, upload, work


async def test_an_uploaded_file_becomes_a_document(client: httpx.AsyncClient, settings: Settings) -> None:
    taken = await upload(client, metadata='{"year": 1921}', title="Lamp of\x00the island")
    assert taken.status_code == 202
    assert (taken.json()["job"]["state"], taken.json()["duplicate"]) == ("queued", False)
    await work(settings)
    job = await job_of(client, taken)
    assert (job["state"], job["attempts"], job["chunks"], job["problem"]) == ("done", 1, 1, None)
    assert files_kept(settings) == {job["id"]}
    document = (await client.get(f"/v1/documents/{job['document_id']}")).json()
    assert (document["uri"], document["title"]) == ("upload:lamp.md", "Lamp of the island")
    blank = await upload(client, "lamp2.md", LAMP + b"It is new.", title=" \n")
    await work(settings)
    document = (await client.get(f"/v1/documents/{(await job_of(client, blank))['document_id']}")).json()
    assert document["title"] == "The lamp"
    body = {"query": "how far is the lamp seen", "filter": {"year": 1921}}
    assert len((await client.post("/v1/search", json=body)).json()["passages"]) == 1


async def test_a_full_disk_is_told_and_nothing_is_kept(
    client: httpx.AsyncClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(uploads.os, "fsync", full)
        refused = await upload(client)
    assert (refused.status_code, refused.json()["code"]) == (503, "upload_not_stored")
    assert refused.headers["Retry-After"]
    assert files_kept(settings) == set()
    assert (await client.get("/v1/jobs")).json()["jobs"] == []
    assert (await upload(client)).status_code == 202


async def test_the_same_file_again_is_a_duplicate(client: httpx.AsyncClient, settings: Settings) -> None:
    first = await upload(client)
    waiting = await upload(client)
    await work(settings)
    done = await upload(client)
    for again in (waiting, done):
        assert (again.status_code, again.json()["duplicate"]) == (200, True)
        assert again.json()["job"]["id"] == first.json()["job"]["id"]
    assert len((await client.get("/v1/jobs")).json()["jobs"]) == 1
    assert files_kept(settings) == {first.json()["job"]["id"]}


async def test_other_bytes_of_that_name_are_its_next_version(client: httpx.AsyncClient, settings: Settings) -> None:
    responses = [await upload(client, data=data) for data in (LAMP, LAMP.replace(b"twenty", b"thirty"), LAMP)]
    await work(settings)
    ids = {(await job_of(client, response))["document_id"] for response in responses}
    assert [response.status_code for response in responses] == [202, 202, 202]
    assert len(ids) == 1
    assert [text.strip().endswith("twenty miles.") for text in await found(client, "lamp miles")] == [True]


async def test_a_deleted_document_is_found_no_more_and_can_come_again(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    taken = await upload(client)
    await work(settings)
    document_id = (await job_of(client, taken))["document_id"]
    assert (await client.delete(f"/v1/documents/{document_id}")).status_code == 204
    assert await found(client, "lamp") == []
    assert (await client.get(f"/v1/documents/{document_id}")).status_code == 404
    assert (await client.delete(f"/v1/documents/{document_id}")).json()["code"] == "document_not_found"
    assert (await upload(client)).status_code == 202
    await work(settings)
    assert len(await found(client, "lamp")) == 1


async def test_the_files_of_a_collection_go_with_it(client: httpx.AsyncClient, settings: Settings) -> None:
    await upload(client)
    elsewhere = await upload(client, collection="other")
    await work(settings)
    waiting = await upload(client, "second.md")
    assert (await client.delete("/v1/collections/island")).status_code == 204
    assert files_kept(settings) == {response.json()["job"]["id"] for response in (elsewhere, waiting)}
    await work(settings)
    job = await job_of(client, waiting)
    assert (job["state"], "deleted before this was in it" in str(job["problem"])) == ("failed", True)
    listed = (await client.get("/v1/collections")).json()["collections"]
    assert [each["name"] for each in listed] == ["other"], "it is not made anew by what waited"
    assert (await upload(client)).status_code == 202
    await work(settings)
    assert len(await found(client, "lamp")) == 1


async def test_a_file_that_cannot_be_read_fails_with_the_reason_and_can_be_tried_again(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    taken = await upload(client, "broken.pdf", b"%PDF-1.7\nnothing of a PDF follows")
    await work(settings)
    job = await job_of(client, taken)
    assert (job["state"], job["attempts"]) == ("failed", 1)
    assert "damaged" in str(job["problem"]) or "PDF" in str(job["problem"])
    listed = (await client.get("/v1/jobs", params={"state": "failed"})).json()["jobs"]
    assert [each["id"] for each in listed] == [job["id"]]
    assert files_kept(settings) == {job["id"]}
    again = await client.post(f"/v1/jobs/{job['id']}/retry")
    assert (again.status_code, again.json()["state"]) == (200, "queued")
    assert (await client.post(f"/v1/jobs/{job['id']}/retry")).json()["code"] == "job_not_failed"
    await work(settings)
    assert (await job_of(client, taken))["state"] == "failed"


async def test_changes_of_a_job_stream_until_it_has_ended(client: httpx.AsyncClient, settings: Settings) -> None:
    taken = await upload(client)
    states: list[str] = []

    async def read() -> None:
        headers = {"Accept": "text/event-stream"}
        async with client.stream("GET", taken.headers["location"], headers=headers) as response:
            lines = [line async for line in response.aiter_lines() if line.startswith("data:")]
        states.extend(json.loads(line.removeprefix("data:"))["state"] for line in lines)

    reading = asyncio.create_task(read())
    await asyncio.sleep(0.2)
    await work(settings)
    await asyncio.wait_for(reading, 10)
    assert (states[0], states[-1]) == ("queued", "done")


async def test_changes_of_a_job_stream_on_when_the_database_was_away(
    client: httpx.AsyncClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = (await upload(client)).json()["job"]["id"]
    get, looks = uploads.Uploads.get, count(1)

    async def away_once(*arguments: Any) -> Job:
        if next(looks) == 2:
            await work(settings)
            raise DatabaseUnavailable
        return await get(*arguments)

    monkeypatch.setattr(uploads.Uploads, "get", away_once)
    response = await client.get(f"/v1/jobs/{job_id}", headers={"accept": "text/event-stream"})
    states = [json.loads(line[6:])["state"] for line in response.text.splitlines() if line.startswith("data: ")]
    assert states == ["queued", "done"]


async def test_changes_of_a_job_end_as_they_should_when_the_server_leaves(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = (await upload(client)).headers["location"]
    async with client.stream("GET", location, headers={"accept": "text/event-stream"}) as response:
        lines = response.aiter_lines()
        assert await anext(lines) == "event: job"
        monkeypatch.setattr(AppStatus, "should_exit", True)  # as at SIGTERM
        rest = [line async for line in lines]  # raises when it is cut off
    assert json.loads(rest[0].removeprefix("data: "))["state"] == "queued"


@pytest.mark.parametrize(
    ("name", "data", "fields", "says"),
    [
        ("lamp.md", b"", {}, "it is empty"),
        ("lamp.md", LAMP, {"metadata": "{"}, "metadata: this is not JSON"),
        ("lamp.md", LAMP, {"colection": "lamps"}, "colection: there is no such field; there are file, collection"),
        ("lamp.md", LAMP, {"metadata": "[]"}, "a JSON object belongs here"),
        ("lamp.md", LAMP, {"metadata": '{"a": ["\\u0000"]}'}, "holds a NUL"),
        ("lamp.md", LAMP, {"metadata": '{"a": {"\\ud83d": 1}}'}, "half a surrogate pair"),
        ("lamp.md", LAMP, {"collection": "a\x00b"}, "cannot hold a NUL"),
        ("lamp.md", LAMP, {"collection": "x" * 200}, "collection"),
        ("x" * 300, LAMP, {}, "at most 255 characters"),
        ("lamp.md", LAMP, {"metadata": '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}"}, "can be 32 deep"),
        ("lamp.md", LAMP, {"metadata": '{"a": ' + "[" * 32 + "]" * 32 + "}"}, "can be 32 deep"),
        ("lamp.md", LAMP, {"metadata": '{"a": 1e999}'}, "too large"),
        ("lamp.md", LAMP, {"metadata": '{"a": ' + "9" * 30 + "}"}, "too large"),
        ("lamp.md", LAMP, {"metadata": '{"a": ' + "9" * 5000 + "}"}, "a number is too large"),
    ],
)
async def test_what_cannot_be_taken_is_refused_and_not_kept(
    client: httpx.AsyncClient, settings: Settings, name: str, data: bytes, fields: dict[str, str], says: str
) -> None:
    response = await upload(client, name, data, **fields)
    assert response.status_code == 422
    assert says in response.json()["detail"]
    assert files_kept(settings) == set()
    assert (await client.get("/v1/jobs")).json()["jobs"] == []


@pytest.mark.parametrize(
    "sent",
    [
        {"files": {"file": (None, b"lamp.md")}},  # as curl sends `-F file=lamp.md`
        {"data": {"collection": "lamps"}},
        {"json": {"file": "lamp.md"}},
        {"content": LAMP},
    ],
)
async def test_an_upload_without_a_file_is_told_how_to_send_one(
    client: httpx.AsyncClient, sent: dict[str, Any]
) -> None:
    response = await client.post("/v1/documents", **sent)
    told = "file: send a file, as multipart/form-data: curl -F file=@PATH"
    assert (response.status_code, response.json()["detail"]) == (422, told)


async def test_of_two_files_none_is_left_out_silently(client: httpx.AsyncClient, settings: Settings) -> None:
    refused = await client.post("/v1/documents", files=[("file", ("a.md", b"one")), ("file", ("b.md", b"two"))])
    assert (refused.status_code, "send each by itself" in refused.json()["detail"]) == (422, True)
    assert files_kept(settings) == set()


async def test_a_name_is_a_name_and_no_path(client: httpx.AsyncClient, settings: Settings, tmp_path: Path) -> None:
    taken = await upload(client, "../../etc/lamp.md")
    assert taken.json()["job"]["name"] == "lamp.md"
    assert [path.parent for path in settings.uploads_dir.iterdir()] == [settings.uploads_dir]


async def test_too_large_a_file_names_the_setting(settings: Settings, serve: Callable[[Settings], Server]) -> None:
    server = serve(settings.model_copy(update={"max_file_bytes": 300_000}))
    async with server.client() as client:
        assert (await upload(client, "large.txt", b"x" * 300_000)).status_code == 202
        response = await upload(client, "huge.txt", b"x" * 1_000_000)
        assert (response.status_code, response.json()["code"]) == (413, "payload_too_large")
        assert "FOOTNOTE_MAX_FILE_BYTES" in response.json()["detail"]
        other = await client.post("/v1/search", json={"query": "x" * 300_000})
        assert "FOOTNOTE_MAX_BODY_BYTES" in other.json()["detail"]


async def test_a_client_that_goes_away_in_the_middle_leaves_nothing(server: Server, settings: Settings) -> None:
    _reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    head = (
        b"POST /v1/documents HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        b'Content-Length: 5000000\r\n\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
    )
    writer.write(head + b"x" * 2_000_000)
    await writer.drain()
    writer.close()
    await asyncio.sleep(0.3)
    async with server.client() as client:
        assert (await client.get("/v1/jobs")).json()["jobs"] == []
    assert files_kept(settings) == set()


async def test_jobs_that_are_not_there(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/jobs/00000000-0000-7000-8000-000000000009")
    assert (response.status_code, response.json()["code"]) == (404, "job_not_found")
