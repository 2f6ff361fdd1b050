"""Uploads: files over HTTP, and the jobs that make documents of them."""

import json
import math
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any
from uuid import UUID

import anyio
import msgspec
from fastapi import APIRouter, File, Form, Query, Request, Response, UploadFile
from pydantic import BaseModel
from sse_starlette import EventSourceResponse

from app.api.chat import CollectionName
from app.api.dependencies import PrincipalDep, ServicesDep
from app.api.problems import RESPONSES
from app.api.streams import ALSO_A_STREAM
from app.api.text import MAX_INTEGER, Text, cleaned
from app.bootstrap import Services
from app.domain.errors import DatabaseUnavailable, InvalidInput
from app.domain.job import Job, JobState, ScheduledSync
from app.domain.principal import Principal
from app.services.uploads import Received

router = APIRouter(tags=["documents"], responses=RESPONSES)
FIELDS = ("file", "collection", "title", "metadata", "again")
LOOK_EVERY_S = 0.5
DEEPEST_METADATA = 32  # objects and lists within each other


class Taken(BaseModel):
    """What became of an upload; `duplicate`: the last file of this name was the very same, and `job` is that one's."""

    job: Job
    duplicate: bool


class Jobs(BaseModel):
    """Jobs, the newest first, and the scheduled syncs that failed, one of each source at most, the last first."""

    jobs: list[Job]
    syncs: list[ScheduledSync]


@router.post(
    "/v1/documents",
    status_code=202,
    responses={200: {"model": Taken, "description": "The last file of this name was the very same."}},
)
async def upload_document(
    principal: PrincipalDep,
    services: ServicesDep,
    request: Request,
    response: Response,
    file: Annotated[
        UploadFile, File(description="A file of a supported format; another of its name is a new version.")
    ],
    collection: Annotated[CollectionName, Form(description="Made when it is missing.")] = "default",
    title: Annotated[Text | None, Form(max_length=500, description="In place of the file's own title.")] = None,
    metadata: Annotated[str, Form(description="A JSON object; fields to filter by.")] = "{}",
    again: Annotated[
        bool, Form(description="Take the very same file in once more, after an update that reads it better.")
    ] = False,
) -> Taken:
    """Take a file in; a worker makes a document of it. 202 with its job; 200 when there is nothing to do."""
    form = await request.form()
    if unknown := sorted(form.keys() - FIELDS):
        raise InvalidInput(f"{unknown[0]}: there is no such field; there are {', '.join(FIELDS)}.")
    if len(form.getlist("file")) > 1:
        raise InvalidInput("file: there is more than one; send each by itself, or all of them as a ZIP archive.")
    called = (title or "").strip() or None
    received = Received(file.file, file.filename or "", collection, called, _metadata(metadata), again)
    job, new = await services.uploads.take(principal, received)
    if not new:
        response.status_code = 200
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return Taken(job=job, duplicate=not new)


@router.delete("/v1/documents/{document_id}", status_code=204)
async def delete_document(document_id: UUID, principal: PrincipalDep, services: ServicesDep) -> None:
    """Delete a document with all its versions: from now on no search finds it and no citation opens it."""
    await services.uploads.delete(principal, document_id)


@router.post("/v1/documents/{document_id}/reingest", status_code=202)
async def reingest_document(
    document_id: UUID, principal: PrincipalDep, services: ServicesDep, response: Response
) -> Job:
    """Read the uploaded file of a document once more, as a new version of it. 202 with the job that does so.

    That is its upload's job, queued again; the one that waits or runs already, when there is one. A document of a file
    in an archive or a mail is made anew with all that is in there. 409 when the file was not uploaded or not kept.
    """
    job = await services.uploads.reingest(principal, document_id)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return job


@router.get("/v1/jobs")
async def list_jobs(
    principal: PrincipalDep,
    services: ServicesDep,
    state: JobState | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Jobs:
    """Jobs, the newest first; `state=failed` lists those that wait for someone to look at them.

    `syncs` are the scheduled syncs that failed: `queued` ones wait for their next try, `failed` ones were given up
    until they are due again. One goes from the list when its source is in sync.
    """
    jobs = await services.uploads.page(principal, state=state, limit=limit)
    return Jobs(jobs=jobs, syncs=await services.uploads.failed_syncs(principal, state=state))


@router.get("/v1/jobs/{job_id}", response_model=Job, responses=ALSO_A_STREAM)
async def get_job(job_id: UUID, principal: PrincipalDep, services: ServicesDep, request: Request) -> Any:
    """How a job stands; with `Accept: text/event-stream`, each change of it until it has ended."""
    job = await services.uploads.get(principal, job_id)
    if "text/event-stream" not in request.headers.get("accept", ""):
        return job
    leaving = anyio.Event()
    return EventSourceResponse(
        _changes(services, principal, job, leaving),
        ping=round(services.settings.heartbeat_s),
        shutdown_event=leaving,
        shutdown_grace_period=2 * LOOK_EVERY_S,
    )


@router.post("/v1/jobs/{job_id}/retry")
async def retry_job(job_id: UUID, principal: PrincipalDep, services: ServicesDep) -> Job:
    """Try a failed job again."""
    return await services.uploads.retry(principal, job_id)


async def _changes(
    services: Services, principal: Principal, job: Job, leaving: anyio.Event
) -> AsyncIterator[dict[str, str]]:
    """Each change of a job until it has ended, or this server is `leaving`: then the client asks another one."""
    told: Job | None = None
    while True:
        if job != told:
            told = job
            yield {"event": "job", "data": msgspec.json.encode(job).decode()}
        if job.ended:
            return
        with anyio.move_on_after(LOOK_EVERY_S):
            await leaving.wait()
            return
        with suppress(DatabaseUnavailable):  # which is told by /readyz; the job has lost nothing
            job = await services.uploads.get(principal, job.id)


def _metadata(text: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"metadata: this is not JSON ({error}).") from error
    except ValueError as error:  # from Python's own limit of digits
        raise InvalidInput("metadata: a number is too large, or none") from error
    except RecursionError as error:
        raise _too_deep() from error
    if not isinstance(value, dict):
        raise InvalidInput('metadata: a JSON object belongs here, for example {"year": 2026}.')
    try:
        _require_storable(value, depth=1)
    except ValueError as error:
        raise InvalidInput(f"metadata: {error}") from error
    return value


def _require_storable(value: object, *, depth: int) -> None:
    """Raise InvalidInput or ValueError for what the database cannot hold."""
    match value:
        case str():
            if cleaned(value) != value:
                raise ValueError("a text holds a NUL, which cannot be stored; leave it out")
        case int() | float():
            if not math.isfinite(value) or (isinstance(value, int) and abs(value) > MAX_INTEGER):
                raise ValueError("a number is too large, or none")
        case dict() | list():
            if depth > DEEPEST_METADATA:
                raise _too_deep()
            for part in [*value, *value.values()] if isinstance(value, dict) else value:
                _require_storable(part, depth=depth + 1)


def _too_deep() -> InvalidInput:
    return InvalidInput(f"metadata: objects and lists can be {DEEPEST_METADATA} deep, at most.")
