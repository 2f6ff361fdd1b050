"""Models: the tables of design section 3.

Every table that holds a tenant's readable data has `workspace_id` and row-level security (migration 0001). The two
narrow index tables hold no readable text and have none: PostgreSQL cannot use a GIN index below a security barrier
with an operator that is not leakproof, and nothing leaves them but by a join with `chunk`, which has it
(docs/decisions/0005).
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import uuid_utils.compat
from pgvector.sqlalchemy import HALFVEC, SPARSEVEC
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy import text as literal
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, REGCONFIG, TIMESTAMP, ExcludeConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


def new_id() -> UUID:
    """A UUIDv7: ordered by time of creation."""
    return uuid_utils.compat.uuid7()


class Base(DeclarativeBase):
    """Naming convention and column types of every table."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own interface
        str: Text,
        datetime: TIMESTAMP(timezone=True),
        dict[str, Any]: JSONB,
        list[Any]: JSONB,
        list[str]: ARRAY(Text),
    }


def _id() -> Mapped[UUID]:
    return mapped_column(primary_key=True, default=new_id)


def _workspace() -> Mapped[UUID]:
    return mapped_column(ForeignKey("workspace.id", ondelete="CASCADE"))


def _now() -> Mapped[datetime]:
    return mapped_column(server_default=func.now())


class Workspace(Base):
    """A tenant."""

    __tablename__ = "workspace"
    id: Mapped[UUID] = _id()
    name: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = _now()


class Collection(Base):
    """A named set of documents; with `contexts`, its chunks are embedded with a line that situates each."""

    __tablename__ = "collection"
    __table_args__ = (UniqueConstraint("workspace_id", "name"),)
    id: Mapped[UUID] = _id()
    workspace_id: Mapped[UUID] = _workspace()
    name: Mapped[str]
    created_at: Mapped[datetime] = _now()
    contexts: Mapped[bool] = mapped_column(server_default=literal("false"))


class Document(Base):
    """A document by its URI; what it says is in its versions.

    `source` is the declared source that it came from, and `source_stamp` what that said of it (size and time, an ETag),
    by which it is seen to be unchanged without being read. `text_key` is the hash of its text and metadata; a document
    that says the same as another in its collection is its duplicate and has no version of its own.
    """

    __tablename__ = "document"
    __table_args__ = (
        UniqueConstraint("collection_id", "source_uri"),
        Index(None, "workspace_id"),
        Index("ix_document_duplicate_of", "duplicate_of", postgresql_where=literal("duplicate_of IS NOT NULL")),
        Index("ix_document_text_key", "collection_id", "text_key", postgresql_where=literal("duplicate_of IS NULL")),
    )
    id: Mapped[UUID] = _id()
    workspace_id: Mapped[UUID] = _workspace()
    collection_id: Mapped[UUID] = mapped_column(ForeignKey("collection.id", ondelete="CASCADE"))
    source_uri: Mapped[str]
    content_hash: Mapped[bytes]
    title: Mapped[str]
    media_type: Mapped[str]
    created_at: Mapped[datetime] = _now()
    updated_at: Mapped[datetime] = _now()
    source: Mapped[str | None]
    source_stamp: Mapped[str | None]
    text_key: Mapped[UUID | None]
    duplicate_of: Mapped[UUID | None] = mapped_column(ForeignKey("document.id"))


class DocumentVersion(Base):
    """The parsed text of a document while it was valid; kept, so that old citations still open.

    `headings` and `page_starts` are its structure, for cutting it anew; null in versions of before they were kept.
    """

    __tablename__ = "document_version"
    __table_args__ = (
        Index("uq_document_version_current", "document_id", unique=True, postgresql_where=literal("valid_to IS NULL")),
        Index(None, "document_id"),
    )
    id: Mapped[UUID] = _id()
    workspace_id: Mapped[UUID] = _workspace()
    document_id: Mapped[UUID] = mapped_column(ForeignKey("document.id", ondelete="CASCADE"))
    content_hash: Mapped[bytes]
    title: Mapped[str]
    media_type: Mapped[str]
    text: Mapped[str]
    meta: Mapped[dict[str, Any]] = mapped_column("metadata", server_default=literal("'{}'"))
    text_search_config: Mapped[str] = mapped_column(REGCONFIG)
    headings: Mapped[list[Any] | None]
    page_starts: Mapped[list[int] | None] = mapped_column(ARRAY(Integer))
    valid_from: Mapped[datetime] = _now()
    valid_to: Mapped[datetime | None]


class Chunk(Base):
    """A piece of a version: `text` is the version's text from `char_start` to `char_end` (code points).

    `space_after` is the white space between it and the next chunk, so that neighbours can be joined as they stood.
    `text_hash` is that of what is embedded of it: chunks of one hash have one vector. `context` is the line that is
    embedded before the text; null: none was written, empty: the model had none to give.
    """

    __tablename__ = "chunk"
    __table_args__ = (
        UniqueConstraint("document_version_id", "chunker", "ordinal"),
        Index(None, "document_id"),
        Index(None, "text_hash"),
        CheckConstraint("char_start < char_end", name="span"),
    )
    id: Mapped[UUID] = _id()
    workspace_id: Mapped[UUID] = _workspace()
    collection_id: Mapped[UUID] = mapped_column(ForeignKey("collection.id", ondelete="CASCADE"))
    document_id: Mapped[UUID] = mapped_column(ForeignKey("document.id", ondelete="CASCADE"))
    document_version_id: Mapped[UUID] = mapped_column(ForeignKey("document_version.id", ondelete="CASCADE"))
    chunker: Mapped[str]
    ordinal: Mapped[int]
    heading_path: Mapped[list[str]]
    char_start: Mapped[int]
    char_end: Mapped[int]
    page: Mapped[int | None]
    token_count: Mapped[int]
    text: Mapped[str]
    space_after: Mapped[str] = mapped_column(server_default="")
    text_hash: Mapped[UUID]
    meta: Mapped[dict[str, Any]] = mapped_column("metadata", server_default=literal("'{}'"))
    context: Mapped[str | None]


class ChunkContext(Base):
    """A context that was written for a document of a collection, so that it is not asked for again.

    `key` stands for the model, the prompt, the document's title and the chunk; `asked` for all that the model was
    given. It goes with its document: it tells of what stands there.
    """

    __tablename__ = "chunk_context"
    __table_args__ = (Index(None, "asked"),)
    collection_id: Mapped[UUID] = mapped_column(ForeignKey("collection.id", ondelete="CASCADE"), primary_key=True)
    source_uri: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[UUID] = mapped_column(primary_key=True)
    workspace_id: Mapped[UUID] = _workspace()
    asked: Mapped[UUID]
    context: Mapped[str]
    created_at: Mapped[datetime] = _now()


class IndexGeneration(Base):
    """One way of embedding every chunk; at most one is active, so that one UPDATE exchanges it (migration 0004)."""

    __tablename__ = "index_generation"
    __table_args__ = (
        CheckConstraint("state IN ('building', 'active', 'retired')", name="state"),
        ExcludeConstraint(
            ("state", "="),
            name="ex_index_generation_active",
            using="btree",
            where=literal("state = 'active'"),
            deferrable=True,
            initially="IMMEDIATE",
        ),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    embedder: Mapped[str]
    dimensions: Mapped[int]
    chunker: Mapped[str]
    state: Mapped[str]
    created_at: Mapped[datetime] = _now()
    activated_at: Mapped[datetime | None]
    retired_at: Mapped[datetime | None]


class ChunkEmbedding(Base):
    """The vector of (chunk, generation); narrow, inline (STORAGE PLAIN), so that exact scans stay cheap."""

    __tablename__ = "chunk_embedding"
    __table_args__ = (
        Index(None, "collection_id", "generation_id"),
        Index(
            "ix_chunk_embedding_keys",
            literal("filter_keys(generation_id, collection_id, metadata)"),
            postgresql_using="gin",
        ),
    )
    chunk_id: Mapped[UUID] = mapped_column(ForeignKey("chunk.id", ondelete="CASCADE"), primary_key=True)
    generation_id: Mapped[int] = mapped_column(ForeignKey("index_generation.id", ondelete="CASCADE"), primary_key=True)
    collection_id: Mapped[UUID]
    embedding: Mapped[Any] = mapped_column(HALFVEC, nullable=False)
    meta: Mapped[dict[str, Any]] = mapped_column("metadata", server_default=literal("'{}'"))


class ChunkLexeme(Base):
    """The words of (chunk, generation) as numbers: `terms` for its GIN index, `impacts` for the score (migration 0002).

    Rows are inserted and deleted, never updated: triggers keep `lexical_term` and `lexical_total` in step.
    """

    __tablename__ = "chunk_lexeme"
    chunk_id: Mapped[UUID] = mapped_column(ForeignKey("chunk.id", ondelete="CASCADE"), primary_key=True)
    generation_id: Mapped[int] = mapped_column(ForeignKey("index_generation.id", ondelete="CASCADE"), primary_key=True)
    collection_id: Mapped[UUID]
    config: Mapped[str] = mapped_column(REGCONFIG)
    length: Mapped[int]
    terms: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    impacts: Mapped[Any] = mapped_column(SPARSEVEC, nullable=False)
    meta: Mapped[dict[str, Any]] = mapped_column("metadata", server_default=literal("'{}'"))


class LexicalTerm(Base):
    """How many chunks of a collection have a term; the sum over its shards."""

    __tablename__ = "lexical_term"
    collection_id: Mapped[UUID] = mapped_column(primary_key=True)
    generation_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    term: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    shard: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    chunks: Mapped[int]


class LexicalBatch(Base):
    """What batches of chunks add to `lexical_term`: `chunks[i]` chunks more (or fewer) have `terms[i]`."""

    __tablename__ = "lexical_batch"
    collection_id: Mapped[UUID] = mapped_column(primary_key=True)
    generation_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    part: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=literal("gen_random_uuid()"))
    terms: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    chunks: Mapped[list[int]] = mapped_column(ARRAY(Integer))


class LexicalTotal(Base):
    """How many chunks and words a collection has in each text search configuration; the sum over its shards."""

    __tablename__ = "lexical_total"
    collection_id: Mapped[UUID] = mapped_column(primary_key=True)
    generation_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    config: Mapped[str] = mapped_column(REGCONFIG, primary_key=True)
    shard: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    chunks: Mapped[int]
    length: Mapped[int] = mapped_column(BigInteger)


class MetadataField(Base):
    """A field that documents of a workspace have had in their metadata, and the JSON types that it held."""

    __tablename__ = "metadata_field"
    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspace.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    kinds: Mapped[list[str]]


class Conversation(Base):
    """Questions and answers in order. `thread` is the name that a client gave it, where clients name them."""

    __tablename__ = "conversation"
    __table_args__ = (Index(None, "workspace_id", "updated_at"), UniqueConstraint("workspace_id", "thread"))
    id: Mapped[UUID] = _id()
    workspace_id: Mapped[UUID] = _workspace()
    title: Mapped[str]
    collection: Mapped[str | None]
    thread: Mapped[str | None]
    created_at: Mapped[datetime] = _now()
    updated_at: Mapped[datetime] = _now()


class Message(Base):
    """One message; an assistant's is filled when its run ends. `generation_id` is the corpus snapshot it rests on."""

    __tablename__ = "message"
    __table_args__ = (
        CheckConstraint("role IN ('user', 'assistant')", name="role"),
        Index(None, "conversation_id", "id"),
    )
    id: Mapped[UUID] = _id()
    workspace_id: Mapped[UUID] = _workspace()
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversation.id", ondelete="CASCADE"))
    role: Mapped[str]
    text: Mapped[str] = mapped_column(server_default="")
    finish_reason: Mapped[str | None]
    problem: Mapped[dict[str, Any] | None]
    citations: Mapped[list[Any]] = mapped_column(server_default=literal("'[]'"))
    passages: Mapped[list[Any]] = mapped_column(server_default=literal("'[]'"))
    reranked: Mapped[bool | None]
    prompt: Mapped[str | None]
    generation_id: Mapped[int | None]
    usage: Mapped[dict[str, Any] | None]
    timings_ms: Mapped[dict[str, Any]] = mapped_column(server_default=literal("'{}'"))
    created_at: Mapped[datetime] = _now()


class Run(Base):
    """One question being answered; the worker that holds the lease writes the log as `attempt`.

    A run that nobody holds waits for a worker: one that was handed over, or, before `begun_at`, one that found every
    place taken. `question` is what any worker needs to answer it, `crashes` how many workers died while they wrote it.
    `request` is what its protocol repeats of the request, `last_event` the id of the log's last event.
    """

    __tablename__ = "run"
    __table_args__ = (
        CheckConstraint("state IN ('running', 'completed', 'cancelled', 'failed')", name="state"),
        Index("uq_run_running", "conversation_id", unique=True, postgresql_where=literal("state = 'running'")),
        Index("ix_run_lease", "lease_expires_at", postgresql_where=literal("lease_expires_at IS NOT NULL")),
        CheckConstraint("(lease_owner IS NULL) = (lease_expires_at IS NULL)", name="lease"),
    )
    id: Mapped[UUID] = _id()
    workspace_id: Mapped[UUID] = _workspace()
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversation.id", ondelete="CASCADE"))
    message_id: Mapped[UUID] = mapped_column(ForeignKey("message.id", ondelete="CASCADE"), unique=True)
    state: Mapped[str]
    attempt: Mapped[int] = mapped_column(server_default="1")
    lease_owner: Mapped[str | None]
    lease_expires_at: Mapped[datetime | None]
    question: Mapped[dict[str, Any] | None]
    request: Mapped[dict[str, Any] | None]
    last_event: Mapped[int | None]
    crashes: Mapped[int] = mapped_column(server_default="0")
    stop_asked: Mapped[bool] = mapped_column(server_default=literal("false"))
    created_at: Mapped[datetime] = _now()
    begun_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Job(Base):
    """A file that was uploaded, on its way into a collection (the queue itself is procrastinate's, schema `queue`)."""

    __tablename__ = "job"
    __table_args__ = (
        CheckConstraint("state IN ('queued', 'running', 'done', 'failed')", name="state"),
        Index(None, "collection", "name", "id"),
        Index(None, "document_id"),
    )
    id: Mapped[UUID] = _id()
    workspace_id: Mapped[UUID] = _workspace()
    state: Mapped[str] = mapped_column(server_default="queued")
    collection: Mapped[str]
    name: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[bytes]
    title: Mapped[str | None]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", server_default=literal("'{}'"))
    attempts: Mapped[int] = mapped_column(server_default="0")
    document_id: Mapped[UUID | None] = mapped_column(ForeignKey("document.id", ondelete="SET NULL"))
    chunks: Mapped[int | None]
    problem: Mapped[str | None]
    created_at: Mapped[datetime] = _now()
    updated_at: Mapped[datetime] = _now()


class ScheduledSync(Base):
    """A sync that was due and failed: one a source, gone once the source is in sync."""

    __tablename__ = "scheduled_sync"
    __table_args__ = (CheckConstraint("state IN ('queued', 'failed')", name="state"),)
    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspace.id", ondelete="CASCADE"), primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    collection: Mapped[str]
    state: Mapped[str]
    attempts: Mapped[int]
    problem: Mapped[str]
    updated_at: Mapped[datetime] = _now()


class Feedback(Base):
    """What a reader said of an answer."""

    __tablename__ = "feedback"
    __table_args__ = (CheckConstraint("rating IN ('up', 'down')", name="rating"),)
    message_id: Mapped[UUID] = mapped_column(ForeignKey("message.id", ondelete="CASCADE"), primary_key=True)
    principal: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[UUID] = _workspace()
    rating: Mapped[str]
    comment: Mapped[str | None]
    created_at: Mapped[datetime] = _now()
    updated_at: Mapped[datetime] = _now()
