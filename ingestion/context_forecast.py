"""Context forecast: what a dry run can tell of the contexts that its documents would get."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from app.domain.principal import Principal
from app.settings import Settings
from app.storage.engine import Database
from ingestion.changes import Change
from ingestion.context_cost import ContextCost, Costing
from ingestion.contexts import ContextModel
from ingestion.parsing import Parsed
from ingestion.situating import Arriving, Situating, open_situating


class ContextForecast:
    """Counts what the language model would be asked for changed documents."""

    def __init__(self, settings: Settings, situating: Situating) -> None:
        self._situating = situating
        self._costing = Costing(settings, situating.contexts.model)

    async def add(self, change: Change, parsed: Parsed) -> None:
        """Count a document. Raises DatabaseUnavailable."""
        self._costing.add(await self._situating.missing([Arriving.of(change, parsed)]))

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
        yield None if situating is None else ContextForecast(settings, situating)
