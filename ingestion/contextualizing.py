"""Contextualizing: gives the stored chunks of a collection their contexts, or takes them away again."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from uuid import UUID

from app.domain.document import Chunk
from app.domain.index import IndexGeneration
from app.domain.ports import Embedder, Vectors
from app.storage.building import FIRST, Building
from app.storage.contexts import ContextState, ContextStore, ContextWrite, enable_contexts
from app.storage.engine import Database
from ingestion.context_cost import ContextCost, Costing
from ingestion.context_prompt import Outline
from ingestion.contexts import Contexts
from ingestion.embed import Embedding

PAGE = 64  # versions read at a time
BATCH_CHUNKS = 64  # chunks situated, embedded and written together


@dataclass(slots=True)
class Report:
    """What was done: of `chunks` that were to be changed `done` are, `embedded` of them by the embedder.

    The language model was asked for `contexts`, with so many tokens; `empty` of its replies had no words.
    """

    collection: str
    on: bool
    chunks: int = 0
    done: int = 0
    embedded: int = 0
    contexts: int = 0
    empty: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    seconds: float = 0.0
    state: ContextState = field(default_factory=lambda: ContextState(0, 0, 0))


Progress = Callable[[Report], None]


@dataclass(frozen=True, slots=True)
class _Place:
    """A stored chunk in its document."""

    document_id: UUID
    chunk_id: UUID
    outline: Outline
    at: int

    @property
    def chunk(self) -> Chunk:
        return self.outline.chunks[self.at]


class Contextualizing:
    """Works on one collection, as the active generation has it."""

    def __init__(
        self, database: Database, workspace_id: UUID, collection: tuple[str, UUID], generation: IndexGeneration
    ) -> None:
        """`collection`: its name and id."""
        self._database = database
        self._workspace_id = workspace_id
        self._name, self._collection_id = collection
        self._generation = generation
        self._store = ContextStore(database, workspace_id, self._collection_id, generation)
        self._building = Building(database, generation)

    async def state(self) -> ContextState:
        """How many chunks there are, and how many without a context."""
        return await self._store.state()

    async def cost(self, contexts: Contexts, costing: Costing, progress: Callable[[int], None]) -> ContextCost:
        """What turning on would ask of the model; `progress` is called with the chunks looked at."""
        async for batch in self._batches(lacking=True):
            costing.add(await contexts.missing([(one.outline, one.at) for one in batch]))
            progress(len(batch))
        return costing.cost()

    async def turn_on(self, contexts: Contexts, embedder: Embedder, progress: Progress) -> Report:
        """Give each chunk that lacks one its context, and embed it anew; from now on new chunks get theirs.

        A batch is one transaction, and contexts are kept as they are written, so that the same call goes on when it
        was interrupted. Raises ContextsRefused, GenerationRetired, DatabaseUnavailable, ProviderError.
        """
        report = Report(self._name, on=True)

        def written() -> None:
            report.contexts, report.empty = contexts.written, contexts.empty
            report.prompt_tokens, report.answer_tokens = contexts.prompt_tokens, contexts.answer_tokens
            progress(report)

        async def situate(batch: Sequence[_Place]) -> list[Chunk]:
            return await contexts.of([(one.outline, one.at) for one in batch], written)

        return await self._change(report, embedder, situate, progress)

    async def turn_off(self, embedder: Embedder, progress: Progress) -> Report:
        """Take the contexts from the chunks that have one, and embed these by their text; new chunks get none.

        What was written is kept, so that turning on again does not ask for it. Goes on and raises as `turn_on`.
        """

        async def strip(batch: Sequence[_Place]) -> list[Chunk]:
            return [replace(one.chunk, context=None) for one in batch]

        return await self._change(Report(self._name, on=False), embedder, strip, progress)

    async def _change(
        self,
        report: Report,
        embedder: Embedder,
        change: Callable[[Sequence[_Place]], Awaitable[list[Chunk]]],
        progress: Progress,
    ) -> Report:
        """Let `change` have every chunk that is to be changed, in passes until there is none."""
        started = perf_counter()
        await self._store.require_alone()
        await enable_contexts(self._database, self._workspace_id, self._collection_id, on=report.on)
        state = await self.state()
        report.chunks = state.lacking if report.on else state.chunks - state.lacking
        progress(report)
        embed = Embedding(self._database, self._workspace_id, self._generation, embedder)
        before = -1
        while report.done > before:  # documents may come in meanwhile, by a process that started before
            before = report.done
            async for batch in self._batches(lacking=report.on):
                chunks = await change(batch)
                await self._write(batch, chunks, embed)
                report.done += len(batch)
                report.embedded = embed.embedded
                progress(report)
        report.state = await self.state()
        report.seconds = perf_counter() - started
        return report

    async def _write(self, batch: Sequence[_Place], chunks: Sequence[Chunk], embed: Embedding) -> None:
        """Write the changed chunks, and vectors of those that are embedded otherwise now."""
        other = [
            chunk for one, chunk in zip(batch, chunks, strict=True) if chunk.embedding_text != one.chunk.embedding_text
        ]
        vectors: dict[UUID, Vectors] = {
            chunk.text_hash: vector for chunk, vector in zip(other, await embed(other), strict=True)
        }
        await self._store.write(
            [
                ContextWrite(one.document_id, one.chunk_id, chunk, vectors.get(chunk.text_hash))
                for one, chunk in zip(batch, chunks, strict=True)
            ]
        )
        embed.stored(other)

    async def _batches(self, *, lacking: bool) -> AsyncIterator[list[_Place]]:
        """The chunks that lack a context, or else those that have one."""
        after, batch = FIRST, list[_Place]()
        while versions := await self._store.pending(after=after, limit=PAGE, lacking=lacking):
            after = versions[-1].version_id
            ids = [version.version_id for version in versions]
            stored = await self._building.chunks(self._workspace_id, ids, self._generation.chunker)
            for version in versions:
                found = stored.get(version.version_id, [])
                outline = Outline(version.uri, version.title, [chunk for _, chunk in found])
                for at, (chunk_id, chunk) in enumerate(found):
                    if (chunk.context is None) == lacking:
                        batch.append(_Place(version.document_id, chunk_id, outline, at))
                    if len(batch) == BATCH_CHUNKS:
                        yield batch
                        batch = []
        if batch:
            yield batch
