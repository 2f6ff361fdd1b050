"""Command line of index generations: `footnote reindex`."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import typer
from rich.console import Console

from app.domain.errors import ConfigurationError, FootnoteError
from app.domain.index import MOST_DIMENSIONS, IndexGeneration, chunker_id
from app.domain.ports import Embedder
from app.embedded.connect import connected
from app.providers.embedder import make_embedder
from app.settings import Settings, load_settings
from app.storage.engine import Database
from app.storage.revision import require_current
from app.tables import print_table
from ingestion.generations import PURGE_AFTER_S, Status, abandon, purge, rollback, status
from ingestion.rechunking import tokens_of
from ingestion.reindex import Report
from ingestion.reindex import reindex as run_reindex
from ingestion.reindex_report import ReindexBar, generations_table, verification_table

console = Console(stderr=True)
T = TypeVar("T")


def reindex(
    embedder: Annotated[str | None, typer.Option(help="Embedder, as FOOTNOTE_EMBEDDER; that one without.")] = None,
    embedder_dimensions: Annotated[
        int | None, typer.Option(min=1, max=MOST_DIMENSIONS, help="Ask it for this many.")
    ] = None,
    chunk_tokens: Annotated[int | None, typer.Option(min=32, max=2000, help="Largest chunk, in tokens.")] = None,
    chunker: Annotated[str | None, typer.Option(help="Chunker with its size, such as structure-v2/200.")] = None,
    show_status: Annotated[bool, typer.Option("--status", help="Show every generation and how far it is.")] = False,
    roll_back: Annotated[bool, typer.Option("--rollback", help="Go back to the generation retired last.")] = False,
    drop_retired: Annotated[
        bool, typer.Option("--purge", help="Drop generations that were retired over an hour ago (--force: all).")
    ] = False,
    drop_unfinished: Annotated[bool, typer.Option("--abandon", help="Drop the unfinished generation.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Take over whatever is found; purge all.")] = False,
    data_dir: Annotated[Path | None, typer.Option(help="Where the embedded services keep their data.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON, without a progress bar.")] = False,
) -> None:
    """Build the index anew with another embedder or other chunks, while questions are answered from the present one.

    The stored texts are taken, not the sources. When it is interrupted, the same command goes on. Exit code 2: nothing
    took over, the line says why.
    """
    if show_status + roll_back + drop_retired + drop_unfinished > 1:
        raise ConfigurationError("Only one of --status, --rollback, --purge and --abandon can be done at a time.")
    settings = load_settings(data_dir=data_dir)
    with connected(settings) as settings:
        if show_status:
            _show_status(_run(settings, status), json=json)
        elif roll_back:
            _say_rollback(settings, *_run(settings, rollback), json=json)
        elif drop_retired:
            age_s = 0 if force else PURGE_AFTER_S
            _say_dropped("purged", _run(settings, lambda database: purge(database, age_s=age_s)), json=json)
        elif drop_unfinished:
            _say_dropped("abandoned", _run(settings, abandon), json=json)
        else:
            wanted = _wanted(settings, embedder, embedder_dimensions, chunk_tokens, chunker)
            _say_report(_build(settings, wanted, force=force, visible=not json), wanted, json=json)


def _wanted(
    settings: Settings, embedder: str | None, dimensions: int | None, chunk_tokens: int | None, chunker: str | None
) -> Settings:
    """The settings that the new generation is for. Raises ConfigurationError."""
    if chunker is not None and chunk_tokens is not None:
        raise ConfigurationError("Give either --chunk-tokens or --chunker; both set the size of chunks.")
    update: dict[str, object] = {}
    if embedder is not None and embedder != settings.embedder:  # the dimensions set are those of the other one
        update |= {"embedder": embedder, "embedder_dimensions": None}
    if dimensions is not None:
        update["embedder_dimensions"] = dimensions
    if chunker is not None:
        update["chunk_tokens"] = tokens_of(chunker)
    if chunk_tokens is not None:
        update["chunk_tokens"] = chunk_tokens
    return settings.model_copy(update=update)


def _build(settings: Settings, wanted: Settings, *, force: bool, visible: bool) -> Report:
    async def build(database: Database) -> Report:
        embedder = make_embedder(wanted)
        live_embedder = None if wanted.embedder == settings.embedder else _live_embedder(settings)
        try:
            with ReindexBar(console, visible=visible) as progress:
                return await run_reindex(
                    database,
                    embedder,
                    chunker_id(wanted.chunk_tokens),
                    live_embedder=live_embedder,
                    ef_search=wanted.hnsw_ef_search,
                    force=force,
                    progress=progress,
                )
        finally:
            await embedder.close()
            if live_embedder is not None:
                await live_embedder.close()

    return _run(settings, build)


def _live_embedder(settings: Settings) -> Embedder | None:
    """The embedder of the settings, for comparing ranks; its absence stops nothing."""
    try:
        return make_embedder(settings)
    except FootnoteError as error:
        console.print(f"ranks are not compared: {error.message}", highlight=False, markup=False, soft_wrap=True)
        return None


def _run(settings: Settings, action: Callable[[Database], Awaitable[T]]) -> T:
    async def run() -> T:
        assert settings.database_url is not None  # noqa: S101 - `connected` sets it
        database = Database(settings.database_url.get_secret_value(), pool_size=3)
        await database.open()
        try:
            await require_current(database)
            return await action(database)
        finally:
            await database.close()

    return asyncio.run(run())


def _say_report(report: Report, wanted: Settings, *, json: bool) -> None:
    if json:
        _print_json(report)
        return
    if report.verification is None:
        _say(
            f"generation {report.generation} is of this kind and the active one already; {report.written} documents "
            f"that it lacked were written{', its vector index was built anew' if report.renewed else ''}"
        )
        return
    console.print(verification_table(report.verification))
    dimensions = f" FOOTNOTE_EMBEDDER_DIMENSIONS={wanted.embedder_dimensions}" if wanted.embedder_dimensions else ""
    _say(
        f"generation {report.generation} took over from {report.replaces}: {report.documents} documents, "
        f"{report.chunks} chunks, {report.seconds:.1f} s, writers waited {report.writers_waited_s:.2f} s.\n"
        f"Set FOOTNOTE_EMBEDDER={wanted.embedder}{dimensions} FOOTNOTE_CHUNK_TOKENS={wanted.chunk_tokens} and restart "
        "the servers. Until then those with another embedder answer from the former generation. `footnote reindex "
        "--rollback` goes back, `footnote reindex --purge` drops what is retired."
    )


def _say_rollback(settings: Settings, active: IndexGeneration, missing: int, seconds: float, *, json: bool) -> None:
    if json:
        _print_json({"active": active, "missing_documents": missing, "seconds": seconds})
        return
    _say(
        f"generation {active.id} ({active.embedder}, {active.dimensions} dimensions, chunks {active.chunker}) is the "
        f"active one again, in {seconds:.2f} s"
    )
    if missing:
        _say(
            f"{missing} documents were written since it was retired and are not in it: run `footnote reindex` for that "
            "embedder and chunker, which adds them"
        )


def _say_dropped(done: str, dropped: list[IndexGeneration], *, json: bool) -> None:
    if json:
        _print_json({done: dropped})
    else:
        names = ", ".join(f"{one.id} ({one.embedder}, {one.dimensions}, {one.chunker})" for one in dropped)
        _say(f"{done}: {names}" if dropped else f"nothing is {done}: there is no such generation")


def _show_status(found: Status, *, json: bool) -> None:
    if json:
        _print_json(found)
    else:
        print_table(generations_table(found))
        _say("a builder is at work" if found.builder_at_work else "no builder is at work")


def _print_json(value: object) -> None:
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


def _say(message: str) -> None:
    console.print(message, highlight=False, markup=False, soft_wrap=True)
