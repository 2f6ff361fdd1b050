"""Versions: what documents say, written with its chunks, vectors and words."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec

from app.domain.document import Chunk, ParsedDocument
from app.domain.index import IndexGeneration
from app.domain.ports import Vectors
from app.storage import models as m
from app.storage.chunks import ChunkOwner, copy_chunks, copy_vectors
from app.storage.engine import WorkspaceConnection
from app.storage.lexemes import index_words
from app.storage.metadata_fields import remember_fields

_INSERT = """
INSERT INTO document_version (id, workspace_id, document_id, content_hash, title, media_type, text, metadata,
    text_search_config, headings, page_starts)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s::regconfig, %s, %s)
"""


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A parsed, chunked, embedded document to be stored; `vectors[i]` belongs to `chunks[i]`.

    `source` and `stamp` tell where it comes from (see `app.storage.inventory`), `moved_from` the URI it had before.
    Documents of a collection with one `text_key` are duplicates of each other.
    """

    uri: str
    content_hash: bytes
    document: ParsedDocument
    chunks: Sequence[Chunk]
    vectors: Vectors
    text_search_config: str
    source: str | None = None
    stamp: str | None = None
    moved_from: str | None = None
    text_key: UUID | None = None


async def write_versions(
    connection: WorkspaceConnection,
    generation: IndexGeneration,
    workspace_id: UUID,
    collection_id: UUID,
    versions: Sequence[tuple[UUID, NewVersion]],
) -> None:
    """Store versions of documents of one collection, each with its document's id, in the caller's transaction."""
    written = [(owner_of(workspace_id, collection_id, document_id, new), new) for document_id, new in versions]
    await insert_versions(connection, written)
    owned = [(owner, chunk) for owner, new in written for chunk in new.chunks]
    vectors = [vector for _, new in written for vector in new.vectors]
    ids = await copy_chunks(connection, generation.chunker, owned)
    rows = [
        (chunk_id, owner, chunk, vector) for chunk_id, (owner, chunk), vector in zip(ids, owned, vectors, strict=True)
    ]
    await copy_vectors(connection, generation.id, rows)
    await index_words(connection, generation.id, ids)
    await remember_fields(connection, workspace_id, [new.document.metadata for _, new in versions])


async def insert_versions(connection: WorkspaceConnection, versions: Sequence[tuple[ChunkOwner, NewVersion]]) -> None:
    """Store the versions alone, without their chunks."""
    await connection.cursor().executemany(_INSERT, [_row(owner, new) for owner, new in versions])


def owner_of(workspace_id: UUID, collection_id: UUID, document_id: UUID, new: NewVersion) -> ChunkOwner:
    """What a version's chunks say of it; the version gets its id here."""
    return ChunkOwner(
        workspace_id,
        collection_id,
        document_id,
        m.new_id(),
        uri=new.uri,
        title=new.document.title,
        media_type=new.document.media_type,
        metadata=new.document.metadata,
    )


def _row(owner: ChunkOwner, new: NewVersion) -> tuple[object, ...]:
    document = new.document
    return (
        owner.version_id,
        owner.workspace_id,
        owner.document_id,
        new.content_hash,
        document.title,
        document.media_type,
        document.text,
        msgspec.json.encode(document.metadata).decode(),
        new.text_search_config,
        msgspec.json.encode(document.headings).decode(),
        list(document.page_starts),
    )
