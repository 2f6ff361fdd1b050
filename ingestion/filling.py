"""Filling: chunks, embeds and writes what an index generation lacks."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from app.domain.document import Chunk
from app.domain.index import IndexGeneration
from app.domain.ports import Embedder
from app.storage.building import FIRST, Building, Filled, StoredVersion
from app.storage.engine import Database
from ingestion.rechunking import rechunk

PAGE = 64  # versions read at a time
EMBED_CHUNKS = 128  # versions are gathered until they have this many chunks, then embedded and written together


@dataclass(frozen=True, slots=True)
class _Cut:
    """A version in chunks; `ids` None when they are new."""

    version: StoredVersion
    chunks: Sequence[Chunk]
    ids: Sequence[UUID] | None


_Stored = dict[UUID, list[tuple[UUID, Chunk]]]


class Filling:
    """Goes through the current versions that a generation does not have as a whole."""

    def __init__(self, database: Database, embedder: Embedder, target: IndexGeneration, live: IndexGeneration) -> None:
        """`live` has the chunks from which headings are taken where a version's structure was not kept."""
        self._building = Building(database, target)
        self._embedder = embedder
        self._target = target
        self._live = live

    async def fill(self, workspaces: Sequence[UUID], written: Callable[[int], None]) -> int:
        """Write what is missing; `written` is called with the versions of each batch. Returns their number.

        Each batch is one transaction, so that what was written stays. Raises DatabaseUnavailable, ProviderError.
        """
        total = 0
        for workspace_id in workspaces:
            async for batch in self._batches(workspace_id):
                await self._write(workspace_id, batch)
                total += len(batch)
                written(len(batch))
        return total

    async def _batches(self, workspace_id: UUID) -> AsyncIterator[list[_Cut]]:
        """Incomplete versions with their chunks, in batches of about EMBED_CHUNKS chunks."""
        after, batch = FIRST, list[_Cut]()
        while ids := await self._building.pending(workspace_id, after=after, limit=PAGE):
            after = ids[-1]
            for cut in await self._cut(workspace_id, ids):
                batch.append(cut)
                if sum(len(one.chunks) for one in batch) >= EMBED_CHUNKS:
                    yield batch
                    batch = []
        if batch:
            yield batch

    async def _cut(self, workspace_id: UUID, ids: Sequence[UUID]) -> list[_Cut]:
        """Versions with the chunks that are there already, or new ones."""
        versions = await self._building.versions(workspace_id, ids)
        present = await self._building.chunks(workspace_id, ids, self._target.chunker)
        others = [version.version_id for version in versions if version.version_id not in present]
        other = await self._building.chunks(workspace_id, others, self._live.chunker) if others else {}
        return await asyncio.to_thread(self._cut_all, versions, present, other)

    def _cut_all(self, versions: Sequence[StoredVersion], present: _Stored, other: _Stored) -> list[_Cut]:
        cuts = []
        for version in versions:
            if stored := present.get(version.version_id):
                cuts.append(_Cut(version, [chunk for _, chunk in stored], [chunk_id for chunk_id, _ in stored]))
            else:
                before = [chunk for _, chunk in other.get(version.version_id, ())]
                cuts.append(_Cut(version, rechunk(version, before, self._target.chunker), None))
        return cuts

    async def _write(self, workspace_id: UUID, batch: Sequence[_Cut]) -> None:
        vectors = await self._embedder.embed_passages([c.embedding_text for cut in batch for c in cut.chunks])
        filled, at = [], 0
        for cut in batch:
            own, at = vectors[at : at + len(cut.chunks)], at + len(cut.chunks)
            filled.append(Filled(cut.version, cut.chunks, cut.ids, own))
        await self._building.write(workspace_id, filled)
