"""Command line of contexts: `footnote context`."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated
from uuid import UUID

import msgspec
import typer
from rich.console import Console

from app.domain.errors import ConfigurationError, InvalidInput
from app.domain.index import IndexGeneration
from app.domain.ports import Embedder
from app.domain.principal import Principal
from app.embedded.connect import connected
from app.providers.embedder import make_embedder
from app.settings import Settings, load_settings
from app.storage.contexts import ContextState, contexts_enabled, enable_contexts
from app.storage.documents import DocumentStore
from app.storage.engine import Database
from app.storage.generations import active_generation, require_embedder
from app.telemetry import configure_logging
from ingestion.context_cost import ContextCost, Costing, cost_of, money
from ingestion.context_report import ContextBar
from ingestion.contexts import ContextModel, Contexts
from ingestion.contextualizing import Contextualizing, Report
from ingestion.opening import opened_database

console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def context(
    collection: Annotated[str, typer.Argument(help="The collection.")],
    on: Annotated[bool, typer.Option("--on", help="Write a context for every chunk, now and from now on.")] = False,
    off: Annotated[bool, typer.Option("--off", help="Take the contexts away, and write no more.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether the cost is all right.")] = False,
    data_dir: Annotated[Path | None, typer.Option(help="Where the embedded services keep their data.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON, without a progress bar.")] = False,
) -> None:
    """Let the language model situate each chunk of a collection with a line that is embedded before it.

    Without options it shows how things stand, and what turning on would ask of the model. When it is interrupted, the
    same command goes on; no context is asked for twice.
    """
    if on and off:
        raise InvalidInput("Contexts are turned either --on or --off.")
    if on and json and not yes:
        raise InvalidInput("With --json nothing is asked: look at the cost without --on, then give --yes too.")
    configure_logging(level="warning", json=False)
    with connected(load_settings(data_dir=data_dir)) as settings:
        asyncio.run(_run(settings, collection, on=on, off=off, yes=yes, json=json))


async def _run(settings: Settings, collection: str, *, on: bool, off: bool, yes: bool, json: bool) -> None:
    async with opened_database(settings) as database, ContextModel(settings) as model:
        workspace_id, store = Principal().workspace_id, DocumentStore(database)
        if on:  # perhaps before its first documents come, so that these are embedded once
            model.ready()  # else no collection is made
            await store.ensure_collection(workspace_id, collection)
        collection_id = (await store.collection_ids(workspace_id, collection))[collection]
        command = _Command(
            settings, database, workspace_id, collection, collection_id, await active_generation(database), model, json
        )
        if on:
            await command.turn_on(yes=yes)
        elif off:
            await command.turn_off()
        else:
            await command.show()


@dataclass(frozen=True, slots=True)
class _Shown:
    """How a collection stands; `missing` is what turning on would ask, or `problem` why that cannot be told."""

    collection: str
    on: bool
    chunks: int
    lacking: int
    empty: int
    missing: ContextCost | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class _Command:
    """The command on one collection; `generation` None: nothing is indexed yet."""

    settings: Settings
    database: Database
    workspace_id: UUID
    collection: str
    collection_id: UUID
    generation: IndexGeneration | None
    model: ContextModel
    json: bool

    async def show(self) -> None:
        """Print how things stand."""
        on = await contexts_enabled(self.database, self.workspace_id, self.collection_id)
        state, missing, problem = await self._state(), None, None
        try:
            missing = await self._cost(self._contexts(), state)
        except ConfigurationError as error:
            problem = error.message
        if self.json:
            shown = _Shown(self.collection, on, state.chunks, state.lacking, state.empty, missing, problem)
            _print_json(shown)
            return
        have = state.chunks - state.lacking - state.empty
        console.print(
            f"“{self.collection}”: contexts are {'on' if on else 'off'}; {have:,} of {state.chunks:,} chunks have one, "
            f"{state.empty:,} need none, {state.lacking:,} lack one"
        )
        if missing is not None and state.lacking:
            console.print(f"{missing.said()}. `footnote context {self.collection} --on` writes them.")
        if problem is not None:
            console.print(f"contexts cannot be written: {problem}")
        if not on and state.lacking < state.chunks:
            console.print(f"`footnote context {self.collection} --off` takes away those that are there.")

    async def turn_on(self, *, yes: bool) -> None:
        """Show the cost, ask, write."""
        contexts, state = self._contexts(), await self._state()
        cost = await self._cost(contexts, state)
        if not self.json:
            console.print(f"“{self.collection}”: {state.lacking:,} chunks lack a context; {cost.said()}.")
        if cost.contexts and not yes:
            typer.confirm("Write them?", abort=True, err=True)
        if self.generation is None:
            await enable_contexts(self.database, self.workspace_id, self.collection_id, on=True)
            report = Report(self.collection, on=True)
        else:
            async with self._embedder(self.generation) as embedder:
                with ContextBar(console, "writing contexts", visible=not self.json) as bar:
                    report = await self._work(self.generation).turn_on(contexts, embedder, bar)
        spent = cost_of(self.settings, report.prompt_tokens, report.answer_tokens)
        if self.json:
            _print_json({**asdict(report), "model": contexts.model, "cost": spent})
            return
        costs = "" if spent is None else f", which cost {money(spent)}"
        console.print(
            f"“{self.collection}”: contexts are on; {report.done:,} chunks have theirs, {report.contexts:,} of them "
            f"asked of {contexts.model} ({report.prompt_tokens:,} tokens of prompts, {report.answer_tokens:,} of "
            f"answers{costs}), {report.empty:,} without words; {report.embedded:,} embedded, {report.seconds:.1f} s"
        )

    async def turn_off(self) -> None:
        """Take the contexts away."""
        if self.generation is None:
            await enable_contexts(self.database, self.workspace_id, self.collection_id, on=False)
            report = Report(self.collection, on=False)
        else:
            async with self._embedder(self.generation) as embedder:
                with ContextBar(console, "taking contexts away", visible=not self.json) as bar:
                    report = await self._work(self.generation).turn_off(embedder, bar)
        if self.json:
            _print_json(report)
            return
        console.print(
            f"“{self.collection}”: contexts are off; {report.done:,} chunks lost theirs and {report.embedded:,} were "
            f"embedded without, {report.seconds:.1f} s. Turning on again asks only for what has changed since."
        )

    @asynccontextmanager
    async def _embedder(self, generation: IndexGeneration) -> AsyncIterator[Embedder]:
        """The generation's. Raises EmbedderMismatch when the settings have another one."""
        embedder = make_embedder(self.settings)
        try:
            require_embedder(generation, embedder=embedder.name, dimensions=embedder.dimensions)
            yield embedder
        finally:
            await embedder.close()

    def _contexts(self) -> Contexts:
        return Contexts(self.database, self.workspace_id, self.collection_id, *self.model.ready())

    def _work(self, generation: IndexGeneration) -> Contextualizing:
        return Contextualizing(self.database, self.workspace_id, (self.collection, self.collection_id), generation)

    async def _state(self) -> ContextState:
        return ContextState(0, 0, 0) if self.generation is None else await self._work(self.generation).state()

    async def _cost(self, contexts: Contexts, state: ContextState) -> ContextCost:
        costing = Costing(self.settings, contexts.model)
        if self.generation is None:
            return costing.cost()
        with ContextBar(console, "counting tokens", total=state.lacking, visible=not self.json) as bar:
            return await self._work(self.generation).cost(contexts, costing, bar.advance)


def _print_json(value: object) -> None:
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
