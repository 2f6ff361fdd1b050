"""Situating: contexts for documents on their way into a collection that has them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from app.domain.document import Chunk
from app.domain.principal import Principal
from app.storage.contexts import contexts_enabled, stored_keys
from app.storage.engine import Database
from ingestion.changes import Change
from ingestion.context_prompt import Outline, Question
from ingestion.contexts import ContextModel, Contexts
from ingestion.parsing import Parsed


@dataclass(frozen=True, slots=True)
class Arriving:
    """A document that is about to be stored, perhaps one that was at another URI before."""

    outline: Outline
    text_key: UUID
    moved_from: str | None = None

    @classmethod
    def of(cls, change: Change, parsed: Parsed) -> "Arriving":
        """Of a change as it was read."""
        return cls(Outline(change.uri, parsed.document.title, parsed.chunks), parsed.text_key, change.moved_from)


class Situating:
    """Gives the chunks of arriving documents their contexts.

    A document that will only be noted as the duplicate of another keeps its chunks as they are: nothing of them is
    stored.
    """

    def __init__(self, database: Database, workspace_id: UUID, collection_id: UUID, contexts: Contexts) -> None:
        self._database = database
        self._workspace_id = workspace_id
        self._collection_id = collection_id
        self._seen: dict[UUID, str] = {}
        self.contexts = contexts

    async def chunks(
        self, documents: Sequence[Arriving], progress: Callable[[], None] = lambda: None
    ) -> list[Sequence[Chunk]]:
        """The chunks of each document. Raises DatabaseUnavailable, ProviderError."""
        wanted = await self._wanted(documents)
        situated = iter(await self.contexts.of(_places(documents, wanted), progress))
        return [
            [next(situated) for _ in one.outline.chunks] if takes else one.outline.chunks
            for one, takes in zip(documents, wanted, strict=True)
        ]

    async def missing(self, documents: Sequence[Arriving]) -> list[Question]:
        """What the language model would be asked for them; asks nothing. Raises DatabaseUnavailable."""
        return await self.contexts.missing(_places(documents, await self._wanted(documents)))

    async def _wanted(self, documents: Sequence[Arriving]) -> list[bool]:
        """Which documents will have chunks of their own."""
        own = [uri for one in documents for uri in (one.outline.uri, one.moved_from) if uri is not None]
        keys = [one.text_key for one in documents]
        stored = await stored_keys(self._database, self._workspace_id, self._collection_id, keys, besides=own)
        return [
            one.text_key not in stored and self._seen.setdefault(one.text_key, one.outline.uri) == one.outline.uri
            for one in documents
        ]


def _places(documents: Sequence[Arriving], wanted: Sequence[bool]) -> list[tuple[Outline, int]]:
    return [
        (one.outline, at)
        for one, takes in zip(documents, wanted, strict=True)
        if takes
        for at in range(len(one.outline.chunks))
    ]


async def open_situating(
    database: Database, principal: Principal, collection_id: UUID, model: ContextModel
) -> Situating | None:
    """For a collection; None when it has no contexts.

    Raises DatabaseUnavailable, and ConfigurationError (and its kinds) when the model of a collection that has contexts
    cannot be had.
    """
    workspace_id = principal.workspace_id
    if not await contexts_enabled(database, workspace_id, collection_id):
        return None
    contexts = Contexts(database, workspace_id, collection_id, *model.ready())
    return Situating(database, workspace_id, collection_id, contexts)
