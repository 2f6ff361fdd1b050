"""Worker: takes jobs out of the queue: uploads, and syncs that are due."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from hashlib import sha256
from uuid import UUID

import structlog
from procrastinate import App, JobContext, RetryStrategy
from procrastinate.exceptions import ConnectorException, UniqueViolation
from procrastinate.jobs import Status

from app.domain.errors import (
    CollectionNotFound,
    DatabaseUnavailable,
    FootnoteError,
    ProviderError,
    SourceUnavailable,
    SyncRunning,
)
from app.domain.job import DELETED, Job, Upload
from app.domain.ports import Embedder
from app.domain.principal import Principal
from app.providers.embedder import make_embedder
from app.settings import Settings
from app.storage.engine import Database, unavailable
from app.storage.inventory import StoredDocument
from app.storage.jobs import JobStore
from app.storage.queue import QUEUE, UPLOAD, open_queue
from app.storage.revision import require_current
from app.storage.scheduled_syncs import ScheduledSyncs
from app.storage.upload_files import UploadFiles
from ingestion.changes import Changes
from ingestion.contexts import ContextModel
from ingestion.opening import open_with
from ingestion.pipeline import Report, ingest
from ingestion.place import Here
from ingestion.sources.declared import Declared
from ingestion.sources.uploaded import UploadedFile
from ingestion.sync import SyncOptions, sync
from ingestion.writing import WRITERS

log = structlog.get_logger()
logging.getLogger("procrastinate").setLevel(logging.WARNING)

MAX_ATTEMPTS = 5
UNEXPECTED = (
    "Something went wrong that nobody expected; the worker's log has more. Try again with `footnote jobs --retry ID`."
)
SYNC_UNEXPECTED = "Something went wrong that nobody expected; the worker's log has more."
RETRY = RetryStrategy(max_attempts=MAX_ATTEMPTS, exponential_wait=3)  # after 3, 9, 27 and 81 s
AWAY = (SourceUnavailable, DatabaseUnavailable, ProviderError)  # a sync that is due is tried again after these
SYNC_RETRY = RetryStrategy(  # after 5, 25, 125 and 625 s
    max_attempts=MAX_ATTEMPTS - 1, exponential_wait=5, retry_exceptions=AWAY
)
FAILED_KEPT_H = 24 * 30
STALLED_AFTER_S = 30  # without a sign of life of the worker that took a job
ENDING = (signal.SIGINT, signal.SIGTERM)
RECOVER = "* * * * *"  # cron: each minute
GRACE_S = 10
AGAIN_AFTER_S = 1.0  # and not at once, lest it goes round and round while the database starts
FOREVER = (
    f"It was begun {MAX_ATTEMPTS} times and never ended: the worker that did it stopped each time. See its log, then "
    "try again with `footnote jobs --retry ID`."
)


class Worker:
    """Does what is in the queue of a database, `concurrency` jobs at a time."""

    def __init__(
        self, settings: Settings, database: Database, embedder: Embedder, contexts: ContextModel, queue: App
    ) -> None:
        self._settings = settings
        self._database = database
        self._embedder = embedder
        self._contexts = contexts
        self._jobs = JobStore(database, queue)
        self._files = UploadFiles(database, settings.uploads_dir)
        self._queue = queue
        self._scheduled = ScheduledSyncs(database)
        self._declared: frozenset[str] | None = None
        self._queues = [QUEUE]
        queue.task(name=UPLOAD, queue=QUEUE, retry=RETRY)(self.upload)
        recover = queue.task(name="footnote.recover", queue=QUEUE, queueing_lock="footnote.recover")(self.recover)
        queue.periodic(cron=RECOVER)(recover)

    def schedule(self, sources: Sequence[Declared]) -> int:
        """Sync each of the declared sources that has a schedule when it is due; returns how many have.

        Syncs of sources that are not declared here are left to other workers.
        """
        self._declared = frozenset(source.name for source in sources)
        due = [source for source in sources if source.schedule]
        for source in due:
            name, queue = _task_name(source), _queue_name(source)
            make = self._queue.task(name=name, queue=queue, queueing_lock=name, retry=SYNC_RETRY, pass_context=True)
            task = make(partial(self.sync, source))
            self._queue.periodic(cron=str(source.schedule))(task)
            self._queues.append(queue)
        return len(due)

    async def run(self, *, concurrency: int, wait: bool = True) -> None:
        """Work until the process is told to end, whether the database is there all the while or not.

        Without `wait` until the queue is empty; raises DatabaseUnavailable then.
        """
        if not wait:
            await self._take(concurrency=concurrency, wait=False)
            return
        loop, task, told = asyncio.get_running_loop(), asyncio.current_task(), False
        assert task is not None  # noqa: S101 - this is a coroutine

        def end() -> None:
            nonlocal told
            told = True
            task.cancel()

        for number in ENDING:
            loop.add_signal_handler(number, end)
        try:
            while not told:
                problem = "its connection broke off"  # at which the queue ends as if it had been told to
                try:
                    await self._take(concurrency=concurrency, wait=True)
                except DatabaseUnavailable as error:
                    problem = error.message
                if not told:
                    log.warning("worker.lost_database", problem=problem)
                    await asyncio.sleep(AGAIN_AFTER_S)
        except asyncio.CancelledError:
            if not told:
                raise
            task.uncancel()
        finally:
            for number in ENDING:
                loop.remove_signal_handler(number)

    async def _take(self, *, concurrency: int, wait: bool) -> None:
        """Do what is in the queue; cancelled, it lets jobs end for a while first. Raises DatabaseUnavailable."""
        try:
            with unavailable():
                await self._queue.run_worker_async(
                    queues=self._queues,
                    concurrency=concurrency,
                    wait=wait,
                    install_signal_handlers=False,
                    shutdown_graceful_timeout=GRACE_S,
                    delete_jobs="successful",
                )
        except ConnectorException as error:
            raise DatabaseUnavailable from error

    async def upload(self, workspace_id: str, job_id: str) -> None:
        """Make a document of an uploaded file. Raises what is worth another attempt."""
        workspace, job = UUID(workspace_id), UUID(job_id)
        begun = await self._jobs.begin(workspace, job)
        if begun is None:
            return
        if begun[0].attempts > MAX_ATTEMPTS:
            await self._jobs.fail(workspace, job, FOREVER)
            return
        try:
            problem = await self._ingest(workspace, *begun)
        except (ProviderError, DatabaseUnavailable) as error:
            if begun[0].attempts >= MAX_ATTEMPTS:
                await self._jobs.fail(workspace, job, error.message)
                return
            await self._jobs.requeue(workspace, job, error.message)
            raise
        except CollectionNotFound:
            problem = DELETED
        except FootnoteError as error:
            problem = error.message
        except Exception:  # the edge of the task: left alone, it would look as if its worker had stopped
            log.exception("upload.crashed", job_id=job_id)
            problem = UNEXPECTED
        if problem is not None:
            await self._jobs.fail(workspace, job, problem)
            log.warning("upload.failed", job_id=job_id, problem=problem)

    async def _ingest(self, workspace: UUID, job: Job, upload: Upload) -> str | None:
        """Why the file cannot be read; None when its document is there."""
        anew = job.chunks is not None  # it was done before: its document is made once more
        with Here(self._embedder) as place:
            run = await open_with(
                place,
                self._contexts,
                self._database,
                self._settings,
                upload.collection,
                principal=Principal(workspace),
                make=False,
            )
            stored = await run.inventory.documents(upload.uri)
            report = Report()
            if stored or not anew:
                file = UploadedFile(upload, self._files.path_of(job.id))
                changes = Changes(_held(stored, upload.uri), [file], source=upload.uri, again=True)
                report = await ingest([file], changes, run)
                if not report.failures:
                    await run.inventory.delete(changes.vanished)
            if report.failures:
                return report.failures[0].reason
            if anew and await self._lost_document(workspace, job):  # it was deleted meanwhile, and stays so
                await run.inventory.delete(list(await run.inventory.documents(upload.uri)))
        await self._jobs.done(workspace, job.id, upload.uri, report.chunks)
        others = await self._jobs.of_upload(workspace, job.collection, job.name)
        await self._files.tidy(workspace, others, keep=self._settings.keep_uploads)
        log.info("upload.done", job_id=str(job.id), chunks=report.chunks, seconds=round(report.seconds, 2))
        return None

    async def _lost_document(self, workspace: UUID, begun: Job) -> bool:
        """Whether a job's document was deleted since it was begun."""
        now = await self._jobs.get(workspace, begun.id)
        return begun.document_id is not None and now.document_id is None

    async def sync(self, source: Declared, context: JobContext, timestamp: int) -> None:
        """Sync a source that is due; `timestamp` is when it became so.

        Raises what ended it, so that the queue counts it as failed and tries it again where that may help.
        """
        try:
            report = await sync(self._settings, source, SyncOptions(declared=self._declared))
        except SyncRunning:
            log.info("sync.running", source=source.name, due=timestamp)
            return
        except FootnoteError as error:
            log.warning("sync.failed", source=source.name, due=timestamp, problem=error.message)
            others = await self._queue.job_manager.list_jobs_async(task=_task_name(source), status=Status.TODO.value)
            again = SYNC_RETRY.get_retry_decision(exception=error, job=context.job) is not None
            await self._note(source, context, error.message, waits=bool(others) or again)
            if others:
                return  # it has become due once more meanwhile; two cannot wait
            raise
        except Exception:  # the edge of the task
            log.exception("sync.crashed", source=source.name, due=timestamp)
            await self._note(source, context, SYNC_UNEXPECTED, waits=False)
            raise
        log.info(
            "sync.done",
            source=source.name,
            added=report.added,
            changed=report.changed,
            deleted=report.deleted,
            failed=len(report.failures),
        )

    async def _note(self, source: Declared, context: JobContext, problem: str, *, waits: bool) -> None:
        """Let it be seen that a sync failed."""
        attempts = context.job.attempts + 1
        await self._scheduled.failed(
            Principal().workspace_id, source.name, source.collection, attempts=attempts, problem=problem, waits=waits
        )

    async def recover(self, timestamp: int) -> None:
        """Put back into the queue what workers took that have given no sign of life since.

        Uploaded files that nobody needs any more go as well, and what is noted of syncs that failed long ago.
        """
        for job in await self._queue.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_AFTER_S):
            try:
                await self._queue.job_manager.retry_job(job)
            except UniqueViolation:  # another one of its kind waits already
                await self._queue.job_manager.finish_job(job, Status.FAILED, delete_job=True)
            log.warning("job.recovered", task=job.task_name, attempts=job.attempts, at=timestamp)
        await self._queue.job_manager.delete_old_jobs(nb_hours=FAILED_KEPT_H, include_failed=True)
        await self._scheduled.forget(Principal().workspace_id, after_h=FAILED_KEPT_H)
        await self._files.tidy_all(keep=self._settings.keep_uploads)


def _held(stored: Mapping[str, StoredDocument], uri: str) -> dict[str, StoredDocument]:
    """What is stored of a file, and as its own what was in it, which goes when the file has it no more."""
    return {one: document if one == uri else replace(document, source=uri) for one, document in stored.items()}


def _task_name(source: Declared) -> str:
    return f"footnote.sync.{source.name}"


def _queue_name(source: Declared) -> str:
    """The queue of a source's syncs, for workers that know the source; its name is short, as PostgreSQL wants it."""
    return f"sync.{sha256(source.name.encode()).hexdigest()[:16]}"


@asynccontextmanager
async def open_worker(settings: Settings, *, concurrency: int = 1) -> AsyncIterator[Worker]:
    """A worker on DATABASE_URL. Raises SchemaOutdated, DatabaseUnavailable."""
    assert settings.database_url is not None  # noqa: S101 - `connected` sets it
    url = settings.database_url.get_secret_value()
    async with AsyncExitStack() as stack:
        database = Database(url, pool_size=concurrency * WRITERS + 2)
        await database.open()
        stack.push_async_callback(database.close)
        await require_current(database)
        embedder = make_embedder(settings)
        stack.push_async_callback(embedder.close)
        contexts = await stack.enter_async_context(ContextModel(settings))
        queue = open_queue(url, pool_size=concurrency + 3)
        with unavailable():
            await stack.enter_async_context(queue.open_async())
        yield Worker(settings, database, embedder, contexts, queue)
