"""Context forecast: what a dry run can tell of the contexts that its documents would get."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from app.domain.principal import Principal
from app.settings import Settings
from app.storage.engine import Database
from ingestion.changes import Change
from ingestion.context_cost import ContextCost, Costing
from ingestion.contexts import ContextModel
from ingestion.parsing import Cutting, parse
from ingestion.sandbox import Sandbox
from ingestion.situating import Arriving, Situating, open_situating


class ContextForecast:
    """Counts what the language model would be asked for changed documents; files within files are left out."""

    def __init__(self, settings: Settings, situating: Situating, sandbox: Sandbox) -> None:
        self._situating = situating
        self._sandbox = sandbox
        self._cutting = Cutting(settings.chunk_tokens, settings.text_search_config)
        self._costing = Costing(settings, situating.contexts.model)

    async def add(self, change: Change) -> None:
        """Count a document. Raises UnreadableFile, DatabaseUnavailable."""
        contents = await asyncio.to_thread(parse, change.content, self._cutting, self._sandbox)
        if contents.parsed is not None:
            self._costing.add(await self._situating.missing([Arriving.of(change, contents.parsed)]))

    def cost(self) -> ContextCost:
        """Of all that were counted."""
        return self._costing.cost()


@asynccontextmanager
async def opened_forecast(
    settings: Settings, database: Database, collection_id: UUID | None
) -> AsyncIterator[ContextForecast | None]:
    """None for a collection that has no contexts, or is not there. Raises ConfigurationError, DatabaseUnavailable."""
    async with ContextModel(settings) as model:
        situating = None
        if collection_id is not None:
            situating = await open_situating(database, Principal(), collection_id, model)
        if situating is None:
            yield None
            return
        with Sandbox() as sandbox:
            yield ContextForecast(settings, situating, sandbox)
