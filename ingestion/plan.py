"""Plan: what a sync would do, found out by reading what has changed and storing nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Literal
from uuid import UUID

from app.domain.errors import UnreadableFile
from app.settings import Settings
from app.storage.engine import Database
from ingestion.changes import Changes
from ingestion.context_forecast import ContextForecast, opened_forecast
from ingestion.parsing import Cutting, parse
from ingestion.pipeline import Failure
from ingestion.sandbox import Sandbox
from ingestion.sources.source import Item, Vanished

Action = Literal["add", "change", "move", "delete", "keep"]
_ACTIONS: dict[str, Action] = {"added": "add", "changed": "change", "moved": "move"}


@dataclass(frozen=True, slots=True)
class Step:
    """What would be done with a document; `moved_from` is the URI that it had."""

    action: Action
    uri: str
    moved_from: str | None = None


@dataclass(slots=True)
class Plan:
    """What would be done, and what cannot be; `forecast` None: the collection has no contexts."""

    settings: Settings
    sandbox: Sandbox
    forecast: ContextForecast | None
    steps: list[Step] = field(default_factory=list)
    unchanged: int = 0
    failures: list[Failure] = field(default_factory=list)

    async def add(self, changes: Changes, item: Item) -> None:
        """Note what would be done with a file and with the files in it, as `ingestion.pipeline` does it."""
        cutting = Cutting(self.settings.chunk_tokens, self.settings.text_search_config)
        try:
            look = partial(changes.look, item, max_bytes=self.settings.max_file_bytes)
            change = await asyncio.to_thread(look)
        except UnreadableFile as error:
            if not (isinstance(error, Vanished) and changes.lost(item.uri)):
                self.failures.append(Failure(item.uri, error.message))
            return
        if change is None:
            self.unchanged += 1
            return
        try:
            contents = await asyncio.to_thread(parse, change.content, cutting, self.sandbox)
            inner = changes.inside(change, contents)
        except UnreadableFile as error:
            if not changes.without_text(change, error):
                self.failures.append(Failure(item.uri, error.message))
            return
        if contents.parsed is not None:
            self.steps.append(Step(_ACTIONS[change.kind], change.uri, change.moved_from))
            if self.forecast is not None:
                await self.forecast.add(change, contents.parsed)
        for file in inner:
            await self.add(changes, file)


@asynccontextmanager
async def opened_plan(settings: Settings, database: Database, collection_id: UUID | None) -> AsyncIterator[Plan]:
    """An empty plan. Raises ConfigurationError, DatabaseUnavailable."""
    async with opened_forecast(settings, database, collection_id) as forecast:
        with Sandbox() as sandbox:
            yield Plan(settings, sandbox, forecast)
