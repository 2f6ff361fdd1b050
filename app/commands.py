"""Commands of the service: `footnote up`, `serve`, `migrate`, `ask`, `search`, `doctor`, `mcp`."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager, nullcontext
from json import loads as json_of
from pathlib import Path
from typing import Annotated
from uuid import UUID

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.bootstrap import open_retrieval, open_services
from app.doctor import examine
from app.domain.errors import ConfigurationError, ConversationNotFound, InvalidFilter
from app.domain.filter import Filter
from app.domain.filter_wire import ROOT, parse_filter
from app.domain.passage import Leg, Passage
from app.domain.principal import DEFAULT_WORKSPACE_ID, Principal
from app.domain.run import (
    Citation,
    RetrievalCompleted,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunStarted,
    TextDelta,
    TextRewind,
)
from app.embedded.connect import connected, environment_of
from app.embedded.services import record_address
from app.services.answering import Question
from app.services.reranking import Reranked
from app.services.retrieval import Explanation, SearchRequest
from app.serving import listening
from app.serving import serve as run_server
from app.settings import Settings, load_settings
from app.storage.documents import DocumentStore
from app.storage.engine import Database
from app.storage.schema import migrate as migrate_schema
from app.tables import print_table
from app.telemetry import configure_logging
from app.workers import check_services
from app.workers import serve_with as run_workers

cli = typer.Typer()
err = Console(stderr=True)
HANDBOOK = "handbook"
_HANDBOOK_AFTER_S = 30
_WORKER_AGAIN_AFTER_S = 10.0

DataDir = Annotated[Path | None, typer.Option(help="Where the embedded services keep their data.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Collection = Annotated[str | None, typer.Option(help="Only this collection; all of them without.")]
FilterOption = Annotated[
    str | None, typer.Option("--filter", help='Conditions on metadata as JSON, for example {"year": {"$gte": 2020}}.')
]


@cli.command()
def up(
    data_dir: DataDir = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    handbook: Annotated[bool, typer.Option(help="Ingest the handbook as a first corpus.")] = True,
) -> None:
    """Start everything on this machine: PostgreSQL, Valkey, the models, the page."""
    settings = load_settings(data_dir=data_dir, host=host, port=port)
    configure_logging(level=settings.log_level, json=settings.log_format == "json")
    with (
        listening(settings) as listener,
        connected(settings, share=False, on_progress=_say) as ready,
        _handbook(ready) if handbook else nullcontext(),
        _worker(ready) as start_worker,
    ):

        def started(url: str) -> None:
            _announce(settings, url)
            start_worker()

        run_server(ready, listener, on_started=started)


@cli.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that serve; answers outlive each of them.")] = 1,
) -> None:
    """Serve the API and the page on DATABASE_URL and REDIS_URL."""
    settings = load_settings(host=host, port=port)
    with listening(settings) as listener:
        if workers > 1:
            asyncio.run(check_services(settings))
            run_workers(
                settings, listener, workers, on_started=lambda url: _say(f"serving on {url}, {workers} workers")
            )
        else:
            run_server(settings, listener, on_started=lambda url: _say(f"serving on {url}"))


@cli.command()
def migrate(
    data_dir: DataDir = None,
    revision: Annotated[str, typer.Option(help="Revision to go to; an older one downgrades.")] = "head",
) -> None:
    """Bring the database schema to this version's revision."""
    with connected(load_settings(data_dir=data_dir)) as settings:
        before, after = migrate_schema(_database_url(settings), revision)
    _say(f"schema at {after or 'nothing'}" + ("" if before == after else f" (was {before or 'nothing'})"))


@cli.command()
def ask(
    question: Annotated[str, typer.Argument(help="What to ask.")],
    collection: Collection = None,
    filter_json: FilterOption = None,
    conversation: Annotated[UUID | None, typer.Option(help="Go on with this conversation.")] = None,
    data_dir: DataDir = None,
    json: Annotated[bool, typer.Option("--json", help="Print each event as a line of JSON.")] = False,
) -> None:
    """Ask a question; the answer streams, its footnotes follow."""
    if not question.strip():
        raise ConfigurationError("The question is empty; write it after `footnote ask`, in quotes.")
    asked = Question(question, conversation, collection, _filter_of(filter_json))
    with connected(load_settings(data_dir=data_dir)) as settings:
        configure_logging(level="warning", json=False)
        try:
            ended = asyncio.run(_ask(settings, asked, json=json))
        except ConversationNotFound as error:
            raise ConversationNotFound(
                "There is no conversation with that id; leave --conversation out to start a new one."
            ) from error
    if isinstance(ended, RunFailed):
        _fail(ended.problem.detail)


@cli.command()
def mcp(data_dir: DataDir = None) -> None:
    """Serve the Model Context Protocol on standard input and output, for a coding assistant to start."""
    from app.api.mcp.transports import serve_stdio  # noqa: PLC0415 - half a second, which other commands do not pay

    async def run(ready: Settings) -> None:
        async with open_services(ready, worker=False) as services:
            await serve_stdio(services)

    with connected(load_settings(data_dir=data_dir)) as settings:
        configure_logging(level="warning", json=False)
        asyncio.run(run(settings))


@cli.command()
def search(
    query: Annotated[str, typer.Argument(help="What to search for.")],
    k: Annotated[int, typer.Option("--k", "-k", min=1, max=100, help="How many passages.")] = 5,
    collection: Collection = None,
    filter_json: FilterOption = None,
    leg: Annotated[Leg, typer.Option(help="Both retrieval legs fused, or one alone.")] = "hybrid",
    explain: Annotated[bool, typer.Option("--explain", help="Show the route, each leg's scores and the plan.")] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show the passages that fit a query best."""
    request = SearchRequest(query, k, collection, _filter_of(filter_json), leg)
    with connected(load_settings(data_dir=data_dir)) as settings:
        configure_logging(level="error", json=False)
        found, explanation = asyncio.run(_search(settings, request, explain=explain))
    passages = found.passages
    if json:
        about = {"reranked": found.applied, "rerank_problem": found.reason, "explanation": explanation}
        _print_json({"passages": passages} | {name: value for name, value in about.items() if value is not None})
        return
    if found.applied is not None:
        _say("reranked" if found.applied else f"not reranked: {found.reason}")
    for number, passage in enumerate(passages, start=1):
        scores = _scores(passage) if explain else f"{passage.score:.4f}"
        sys.stdout.write(f"{number}. {_place(passage)}  [{scores}]\n   {passage.uri}\n")
        sys.stdout.write("   " + " ".join(passage.text.split())[:300] + "\n\n")
    if not passages:
        _say("nothing found")
    if explanation is not None:
        sys.stdout.write(_explained(explanation))


def _scores(passage: Passage) -> str:
    """What each leg gave, and what they came to."""
    legs = {"dense": passage.similarity, "lexical": passage.lexical}
    found = ", ".join(f"{leg} {score:.4f}" for leg, score in legs.items() if score is not None)
    return f"{passage.score:.4f}: {found}"


def _explained(explanation: Explanation) -> str:
    way = {"exact": "every passage that passes is measured", "index": "the HNSW index is walked"}
    share = f"{explanation.passing:,} of {explanation.in_scope:,} passages pass"
    phrases = "".join(f"phrase     “{phrase}”\n" for phrase in explanation.phrases)
    plan = "".join(f"  {line}\n" for line in explanation.plan)
    return (
        f"route      {explanation.route}: {way[explanation.route]} (about {share})\n"
        f"generation {explanation.generation}, {explanation.embedder}\n{phrases}plan\n{plan}"
    )


@cli.command()
def doctor(data_dir: DataDir = None, json: Json = False) -> None:
    """Look at everything an answer needs and say what to do about what is missing. Exit code 1 when something is."""
    with connected(load_settings(data_dir=data_dir)) as settings:
        configure_logging(level="error", json=False)
        findings = asyncio.run(examine(settings))
    if json:
        _print_json({"findings": findings})
    else:
        colours = {"ok": "green", "warning": "yellow", "error": "red"}
        table = Table("", "", "", show_header=False, box=None, padding=(0, 1))
        for finding in findings:
            table.add_row(f"[{colours[finding.state]}]{finding.state}[/]", finding.name, escape(finding.detail))
        print_table(table)
    if any(finding.state == "error" for finding in findings):
        raise typer.Exit(1)


def _filter_of(text: str | None) -> Filter | None:
    """The filter of an option. Raises InvalidFilter."""
    try:
        return parse_filter(json_of(text)) if text is not None else None
    except (ValueError, RecursionError) as error:
        raise InvalidFilter(f"--filter is not JSON: {error}; quote it as '…' for the shell.", ROOT) from None


async def _search(settings: Settings, request: SearchRequest, *, explain: bool) -> tuple[Reranked, Explanation | None]:
    async with open_retrieval(settings) as retrieval:
        found = await retrieval.ranked(Principal(), request)
        return found, await retrieval.explain(Principal(), request) if explain else None


async def _ask(settings: Settings, question: Question, *, json: bool) -> RunEvent | None:
    """Print the answer as it is written; returns the run's last event."""
    printer, event = _print_event if json else _AnswerPrinter(), None
    async with open_services(settings, worker=False) as services:
        run = await services.runs.start(Principal(), question)
        try:
            async with aclosing(services.runs.follow(run.id)) as events:
                async for logged in events:
                    event = logged.event()
                    printer(event)
        except asyncio.CancelledError:  # Ctrl-C stops the answer; what there is of it is stored
            await services.runs.cancel(Principal(), run.id)
            raise
    return event


def _print_event(event: RunEvent) -> None:
    _print_json({"type": event.type, **msgspec.to_builtins(event)})


class _AnswerPrinter:
    """Streams the text sentence by sentence, each with its mark once it was checked, and lists the footnotes."""

    def __init__(self) -> None:
        self._titles: dict[str, str] = {}
        self._notes: dict[int, str] = {}
        self._text = ""
        self._printed = 0
        self._conversation_id = ""

    def __call__(self, event: RunEvent) -> None:
        match event:
            case RunStarted():
                self._conversation_id = event.conversation_id
            case RetrievalCompleted(passages):
                self._titles = {p.id: _place(p) for p in passages}
            case TextDelta(text):
                self._text += text
            case TextRewind(to):
                self._text = self._text[:to]
                self._printed = min(self._printed, to)
            case Citation():
                self._cite(event)
            case RunCompleted() | RunCancelled() | RunFailed():
                notes = [f"[{index}] {note}\n" for index, note in sorted(self._notes.items())]
                self._write(self._text[self._printed :] + "\n" + "".join(["\n", *notes] if notes else []))
                self._say_how_to_go_on()

    def _say_how_to_go_on(self) -> None:
        said = f'To go on: footnote ask --conversation {self._conversation_id} "…"'
        err.print(said, style="dim", highlight=False, soft_wrap=True)

    def _cite(self, citation: Citation) -> None:
        mark = "[?]" if citation.verdict == "unsupported" else f"[{citation.index}]"
        self._write(self._text[self._printed : citation.sentence_end] + mark)
        self._printed = max(self._printed, citation.sentence_end)
        if citation.index:
            quote = " ".join(citation.quote.split())
            note = f"{self._titles.get(citation.passage_id, '')}: “{quote}”"
            self._notes.setdefault(citation.index, note + (" (in part)" if citation.verdict == "partial" else ""))

    @staticmethod
    def _write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def _place(passage: Passage) -> str:
    """Where a passage stands: title, headings, page."""
    headings = passage.heading_path[passage.heading_path[:1] == (passage.title,) :]
    return " › ".join((passage.title, *headings)) + (f", page {passage.page}" if passage.page else "")


@contextmanager
def _handbook(settings: Settings) -> Iterator[None]:
    """The handbook as a corpus: ingested before anything else when there are no documents, brought up to date later.

    In a process of its own, so that the server stays small; and not while it starts, when the first question wants the
    processor.
    """
    if not asyncio.run(_has_documents(settings)):
        _say("ingesting the handbook, so that there is something to ask about")
        first = _start_ingesting(settings)
        try:
            first.wait()
        finally:  # Ctrl-C here ends both
            _end(first)
        yield
        return
    running: list[subprocess.Popen[bytes]] = []
    timer = threading.Timer(_HANDBOOK_AFTER_S, lambda: running.append(_start_ingesting(settings)))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        for process in running:
            _end(process)


@contextmanager
def _worker(settings: Settings) -> Iterator[Callable[[], None]]:
    """Gives what starts a worker for uploads and scheduled syncs, in a process of its own that ends with this one.

    One that ends before is followed by another.
    """
    ending, starting = threading.Event(), threading.Lock()
    running: list[subprocess.Popen[bytes]] = []

    def keep() -> None:
        while True:
            with starting:
                if ending.is_set():
                    return
                process = _start(settings, "worker", "--until-eof")
                running[:] = [process]
            with process:  # closes its input at the end
                code = process.wait()
            if not ending.is_set():
                _say(f"the worker for uploads and syncs has ended (exit code {code}); another one follows")
            ending.wait(_WORKER_AGAIN_AFTER_S)

    thread = threading.Thread(target=keep, name="worker", daemon=True)
    try:
        yield thread.start
    finally:
        with starting:
            ending.set()
        for process in running:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    with process:  # waits, and closes its input
        process.terminate()


def _start_ingesting(settings: Settings) -> subprocess.Popen[bytes]:
    chapters = [str(path) for path in sorted(settings.handbook_dir.glob("*.md"))]
    return _start(settings, "ingest", *chapters, "--collection", HANDBOOK, "--json")


def _start(settings: Settings, *command: str) -> subprocess.Popen[bytes]:
    """Another command on the same services; its standard input ends when this process does."""
    environment = environment_of(settings) | {"FOOTNOTE_DATA_DIR": str(settings.data_dir)}
    arguments = [sys.executable, "-m", "app.cli", *command]
    return subprocess.Popen(
        arguments,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in the terminal is for this process, which ends the other
    )


async def _has_documents(settings: Settings) -> bool:
    database = Database(_database_url(settings), pool_size=1)
    try:
        return any(c.documents for c in await DocumentStore(database).collections(DEFAULT_WORKSPACE_ID))
    finally:
        await database.close()


def _announce(settings: Settings, url: str) -> None:
    if settings.database_url is None:  # the services are its own
        record_address(settings.data_dir, url)
    err.print(f"\n  [bold]Footnote is ready:[/] {url}\n  Ask something there, or stop with Ctrl-C.\n", highlight=False)


def _database_url(settings: Settings) -> str:
    assert settings.database_url is not None  # noqa: S101 - `connected` sets it
    return settings.database_url.get_secret_value()


def _print_json(value: object) -> None:
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


def _say(message: str) -> None:
    err.print(f"footnote: {message}", highlight=False, markup=False, soft_wrap=True)


def _fail(message: str) -> None:
    _say(message)
    raise typer.Exit(2)
