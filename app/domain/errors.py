"""Domain errors: every fault a user or an operator can cause, as one tree.

    FootnoteError
    ├── InvalidInput            (PayloadTooLarge, InvalidFilter)
    ├── NotFound                (CollectionNotFound, DocumentNotFound, ConversationNotFound, RunNotFound, ModelNotFound,
    │                            JobNotFound, MessageNotFound)
    ├── Unauthenticated
    ├── Forbidden
    ├── Conflict                (ConversationBusy, JobNotFailed, NotUploaded, FileNotKept, GenerationRetired,
    │                            ReindexRefused, SyncRunning, ContextsRefused)
    ├── TooManyRequests         (TooManyRuns)
    ├── ConfigurationError      (UnknownModel, MissingKey, EmbedderMismatch, SchemaOutdated)
    ├── Unavailable             (DatabaseUnavailable, RunLogUnavailable, ShuttingDown, StopNotConfirmed,
    │                            SourceUnavailable, UploadNotStored)
    ├── ProviderError           (ProviderUnavailable, ProviderRejected, ProviderTimedOut)
    ├── RunFenced
    ├── EmbeddedError           (ServiceDidNotStart, FolderInUse, FolderNotWritable)
    └── UnreadableFile          (EmptyFile, EncryptedFile, DamagedFile, UnsupportedFormat, FileTooLarge)

A class's docstring is its default message; the message says what to do. `code` is stable and goes over the wire.
Status codes live in `app.api.problems`, exit codes in `app.cli`.
"""

from typing import ClassVar


class FootnoteError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str | None = None) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        super().__init__(self.message)

    @property
    def for_operators(self) -> str:
        """The message on the command line, where it may say what clients must not learn."""
        return self.message


class InvalidInput(FootnoteError):
    """The request is not valid."""

    code = "invalid_input"


class PayloadTooLarge(InvalidInput):
    """The request body is too large."""

    code = "payload_too_large"


class InvalidFilter(InvalidInput):
    """The filter is not valid."""

    code = "invalid_filter"

    def __init__(self, message: str, pointer: str) -> None:
        """`pointer` is where the fault stands in the request's body (a JSON pointer, RFC 6901)."""
        self.pointer = pointer
        super().__init__(f"{pointer}: {message}")


class NotFound(FootnoteError):
    """There is no such thing here."""

    code = "not_found"


class CollectionNotFound(NotFound):
    """There is no collection of that name; `footnote ingest PATH --collection NAME` makes one."""

    code = "collection_not_found"


class DocumentNotFound(NotFound):
    """There is no document with that id."""

    code = "document_not_found"


class ConversationNotFound(NotFound):
    """There is no conversation with that id; leave `conversation_id` out to start a new one."""

    code = "conversation_not_found"


class RunNotFound(NotFound):
    """There is no run with that id."""

    code = "run_not_found"


class MessageNotFound(NotFound):
    """There is no answer with that message id."""

    code = "message_not_found"


class JobNotFound(NotFound):
    """There is no job with that id."""

    code = "job_not_found"


class ModelNotFound(NotFound):
    """There is no model of that name here; `GET /v1/models` lists them."""

    code = "model_not_found"


class Unauthenticated(FootnoteError):
    """This server needs an API key: send `Authorization: Bearer KEY`."""

    code = "unauthenticated"


class Forbidden(FootnoteError):
    """This key may only ask. Use a key of FOOTNOTE_API_KEYS, and keep that one out of public pages."""

    code = "forbidden"


class ClientGone(FootnoteError):
    """The client went away while it waited."""

    code = "client_gone"


class Conflict(FootnoteError):
    """That cannot be done in the present state."""

    code = "conflict"


class ConversationBusy(Conflict):
    """An answer in this conversation is still being written; wait for it or stop it first."""

    code = "conversation_busy"


class JobNotFailed(Conflict):
    """Only a failed job can be tried again."""

    code = "job_not_failed"


class NotUploaded(Conflict):
    """This document was not uploaded; `footnote ingest PATH --again` reads its file once more."""

    code = "not_uploaded"


class FileNotKept(Conflict):
    """The file of this document was not kept; upload it once more, with `again=true`."""

    code = "file_not_kept"


class GenerationRetired(Conflict):
    """The index was exchanged for another one meanwhile (`footnote reindex`); run the same command again."""

    code = "generation_retired"


class ReindexRefused(Conflict):
    """The index cannot be exchanged as it stands; `footnote reindex --status` tells more."""

    code = "reindex_refused"


class ContextsRefused(Conflict):
    """The contexts of this collection cannot be changed now; `footnote reindex --status` tells more."""

    code = "contexts_refused"


class SyncRunning(Conflict):
    """This source is being synced by another process; wait for it, or run the same command with --wait."""

    code = "sync_running"


class TooManyRequests(FootnoteError):
    """Too many requests; wait a little."""

    code = "too_many_requests"

    def __init__(self, message: str, retry_after_s: int) -> None:
        """`retry_after_s`: in how many seconds it is worth another try."""
        self.retry_after_s = retry_after_s
        super().__init__(message)


class TooManyRuns(TooManyRequests):
    """Too many answers at once; wait for one or stop it."""

    code = "too_many_runs"


class ConfigurationError(FootnoteError):
    """The configuration is not usable; `footnote doctor` tells more."""

    code = "configuration_error"


class UnknownModel(ConfigurationError):
    """The model name is not known."""

    code = "unknown_model"


class MissingKey(ConfigurationError):
    """The model's provider needs an API key in the environment."""

    code = "missing_key"


class EmbedderMismatch(ConfigurationError):
    """The embedder of the settings is not the one the index was built with."""

    code = "embedder_mismatch"


class SchemaOutdated(ConfigurationError):
    """The database schema is not at this version's revision; run `footnote migrate`."""

    code = "schema_outdated"


class Unavailable(FootnoteError):
    """A service that this needs is not reachable; try again shortly."""

    code = "unavailable"


class DatabaseUnavailable(Unavailable):
    """PostgreSQL is not reachable; nothing was lost, try again shortly."""

    code = "database_unavailable"

    def __init__(self, message: str | None = None, reason: str = "") -> None:
        """`reason` is what the driver said; clients are not told, since it names hosts and roles."""
        self.reason = reason
        super().__init__(message)

    @property
    def for_operators(self) -> str:
        """With the reason."""
        return f"PostgreSQL is not reachable: {self.reason}" if self.reason else self.message


class RunLogUnavailable(Unavailable):
    """Redis/Valkey is not reachable, so this answer's stream cannot be resumed; try again shortly."""

    code = "run_log_unavailable"

    def __init__(self, message: str | None = None, reason: str = "") -> None:
        """`reason` is what the driver said; clients are not told."""
        self.reason = reason
        super().__init__(message)

    @property
    def for_operators(self) -> str:
        """With the reason."""
        return f"Redis/Valkey (REDIS_URL) cannot be used: {self.reason}" if self.reason else self.message


class ShuttingDown(Unavailable):
    """This worker is shutting down; try again."""

    code = "shutting_down"


class StopNotConfirmed(Unavailable):
    """The run was asked to stop, but its worker has not answered yet; ask again to learn whether it did."""

    code = "stop_not_confirmed"


class SourceUnavailable(Unavailable):
    """The source cannot be listed, so nothing was changed; try again."""

    code = "source_unavailable"


class UploadNotStored(Unavailable):
    """The server has no place for the file, so nothing was kept; try again when its disk has room."""

    code = "upload_not_stored"


class ProviderError(FootnoteError):
    """The model's provider failed."""

    code = "provider_error"


class ProviderUnavailable(ProviderError):
    """The model's provider is not reachable."""

    code = "provider_unavailable"


class ProviderRejected(ProviderError):
    """The model's provider refused the request; check the key, the model's name and the quota."""

    code = "provider_rejected"


class ProviderTimedOut(ProviderError):
    """The model's provider did not answer in time."""

    code = "provider_timed_out"


class RunFenced(FootnoteError):
    """Another worker has taken this run over; this attempt may not write."""

    code = "run_fenced"


class NotStorable(FootnoteError):
    """PostgreSQL does not take this answer."""

    code = "not_storable"


class EmbeddedError(FootnoteError):
    """The embedded services cannot be used."""

    code = "embedded_error"


class ServiceDidNotStart(EmbeddedError):
    """An embedded service did not start."""

    code = "service_did_not_start"


class FolderInUse(EmbeddedError):
    """Another process owns this data folder."""

    code = "folder_in_use"


class FolderNotWritable(EmbeddedError):
    """The data folder cannot be written; choose another with --data-dir."""

    code = "folder_not_writable"


class UnreadableFile(FootnoteError):
    """The file cannot be read."""

    code = "unreadable_file"


class EmptyFile(UnreadableFile):
    """There is no text in the file."""

    code = "empty_file"


class EncryptedFile(UnreadableFile):
    """The file is encrypted; remove its password and ingest it again."""

    code = "encrypted_file"


class DamagedFile(UnreadableFile):
    """The file is damaged or truncated; get a whole copy and ingest it again."""

    code = "damaged_file"


class UnsupportedFormat(UnreadableFile):
    """Files of this format are not supported."""

    code = "unsupported_format"


class FileTooLarge(UnreadableFile):
    """The file is larger than the limit (FOOTNOTE_MAX_FILE_BYTES)."""

    code = "file_too_large"
