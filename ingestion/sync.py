"""Sync: brings a collection to the state of a declared source: added, changed, moved, deleted."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from uuid import UUID

from app.domain.errors import CollectionNotFound
from app.domain.principal import Principal
from app.settings import Settings
from app.storage.documents import DocumentStore
from app.storage.engine import Database
from app.storage.inventory import Inventory, StoredDocument
from app.storage.scheduled_syncs import ScheduledSyncs
from app.storage.sync_lock import sync_lock
from ingestion.changes import Changes, taken_over
from ingestion.context_cost import ContextCost
from ingestion.opening import Opened, opened, opened_database
from ingestion.pipeline import Failure, Report, ingest
from ingestion.plan import Action, Plan, Step, opened_plan
from ingestion.sources.declared import Declared
from ingestion.sources.source import Item


@dataclass(slots=True)
class SyncReport:
    """What a sync did, or with `dry_run` what it would do.

    `vanished` documents are no longer in the source; they were deleted only when `pruned`. `refused` tells why they
    were not, although they should have been. The language model was asked for `contexts`, `empty_contexts` of them
    without words; in a dry run `context_cost` is what it would be asked, None where a collection has no contexts.
    """

    source: str
    collection: str
    dry_run: bool = False
    added: int = 0
    changed: int = 0
    moved: int = 0
    unchanged: int = 0
    vanished: int = 0
    deleted: int = 0
    chunks: int = 0
    embedded: int = 0
    contexts: int = 0
    empty_contexts: int = 0
    context_cost: ContextCost | None = None
    seconds: float = 0.0
    refused: str | None = None
    failures: list[Failure] = field(default_factory=list)
    plan: list[Step] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """How to sync; what is None is as the source declares; `on` as for `ingestion.opening.opened`.

    With `again` documents that have not changed are read and stored anew too. `declared` are the names of all sources
    that there are: what others have brought, and this one lists, is taken over. None: nothing is.
    """

    prune: bool | None = None
    max_prune_share: float | None = None
    dry_run: bool = False
    wait: bool = False
    on: str | None = None
    again: bool = False
    declared: frozenset[str] | None = None


async def sync(
    settings: Settings,
    declared: Declared,
    options: SyncOptions = SyncOptions(),
    progress: Callable[[Report], None] = lambda _report: None,
) -> SyncReport:
    """Sync one source; documents of other sources in the collection stay as they are.

    Unless `again`, unchanged documents are told by the source's stamps without being read, where it has any. What was
    written stays when this is interrupted; the next sync does the rest. Raises SourceUnavailable (nothing was changed),
    SyncRunning, DatabaseUnavailable, ProviderError.
    """
    started, dry_run = perf_counter(), options.dry_run
    prune = declared.prune if options.prune is None else options.prune
    share = declared.max_prune_share if options.max_prune_share is None else options.max_prune_share
    report = SyncReport(declared.name, declared.collection, dry_run)
    async with (
        opened_database(settings) as database,
        sync_lock(database, Principal().workspace_id, declared.name, wait=options.wait),
    ):
        source = await asyncio.to_thread(declared.open)
        try:
            items = await asyncio.to_thread(source.items)
            if dry_run:
                collection_id = await _collection_id(database, declared.collection)
                stored = await _stored(database, collection_id)
                stored |= _taken_over(declared, options, stored, items)
                changes = Changes(stored, items, source=declared.name, again=options.again)
                async with opened_plan(settings, database, collection_id) as plan:
                    await _plan(changes, items, plan, report)
                _vanish(declared, changes, report, share if prune else None)
                action: Action = "delete" if prune and report.refused is None else "keep"
                report.plan += [Step(action, uri) for uri in changes.vanished]
            else:
                async with opened(database, settings, declared.collection, source=declared.name, on=options.on) as run:
                    stored = await run.inventory.documents()
                    taken = _taken_over(declared, options, stored, items)
                    await run.inventory.take_over(declared.name, list(taken))
                    stored |= taken
                    changes = Changes(stored, items, source=declared.name, again=options.again)
                    await _apply(run, changes, items, report, progress)
                    _vanish(declared, changes, report, share if prune else None)
                    if prune and report.refused is None:
                        report.deleted = await run.inventory.delete(changes.vanished)
                    else:
                        await run.inventory.claim(report.source, changes.kept)
                await ScheduledSyncs(database).synced(Principal().workspace_id, declared.name)
        finally:
            await asyncio.to_thread(source.close)
    report.seconds = perf_counter() - started
    return report


async def _apply(
    run: Opened, changes: Changes, items: Sequence[Item], report: SyncReport, progress: Callable[[Report], None]
) -> None:
    """Bring in what changed, and note of the rest that it was seen."""
    done = await ingest(items, changes, run, progress)
    await run.inventory.claim(report.source, changes.unchanged)
    await run.inventory.forget(changes.superseded)
    report.added, report.changed, report.moved, report.unchanged = done.added, done.changed, done.moved, done.unchanged
    report.chunks, report.embedded, report.failures = done.chunks, done.embedded, done.failures
    report.contexts, report.empty_contexts = done.contexts, done.empty_contexts


async def _plan(changes: Changes, items: Sequence[Item], plan: Plan, report: SyncReport) -> None:
    """Note what would be brought in, and what the contexts of that would be; changes nothing."""
    for item in items:
        await plan.add(changes, item)
    report.plan, report.failures, report.unchanged = plan.steps, plan.failures, plan.unchanged
    actions = [step.action for step in report.plan]
    report.added, report.changed, report.moved = actions.count("add"), actions.count("change"), actions.count("move")
    if plan.forecast is not None:
        report.context_cost = plan.forecast.cost()


async def _collection_id(database: Database, collection: str) -> UUID | None:
    """None when there is no such collection."""
    try:
        return (await DocumentStore(database).collection_ids(Principal().workspace_id, collection))[collection]
    except CollectionNotFound:
        return None


async def _stored(database: Database, collection_id: UUID | None) -> dict[str, StoredDocument]:
    """What a collection holds."""
    if collection_id is None:
        return {}
    return await Inventory(database, Principal().workspace_id, collection_id).documents()


def _taken_over(
    declared: Declared, options: SyncOptions, stored: Mapping[str, StoredDocument], items: Sequence[Item]
) -> dict[str, StoredDocument]:
    """What becomes the source's own, as its own."""
    if options.declared is None:
        return {}
    return taken_over(stored, items, declared.name, options.declared | {declared.name})


def _vanish(declared: Declared, changes: Changes, report: SyncReport, share: float | None) -> None:
    """Count what vanished, and say why it may not be deleted when it is more than a `share`; None: nothing is to be."""
    vanished, stored = len(changes.vanished), changes.stored
    report.vanished = vanished
    if share is None or vanished <= share * stored:
        return
    report.refused = (
        f"{vanished} of the {stored} documents of {declared.name} have vanished from it, more than the {share:.0%} "
        f"that may be deleted at once; none was. See whether the source is whole; when they are to go, run "
        f"`footnote sync {declared.name} --prune --max-prune-share 1`."
    )
