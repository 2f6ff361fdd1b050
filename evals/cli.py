"""Command line of evaluation: `footnote eval`."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from app.domain.errors import ConfigurationError, InvalidInput
from app.domain.prices import Prices
from app.domain.principal import Principal
from app.embedded.connect import connected
from app.settings import Settings, environment_value, load_settings
from app.storage.feedback import FeedbackStore
from app.telemetry import configure_logging
from evals import gate_report
from evals.answers import AnswerSuite, Judging, run_answers
from evals.calibrate import print_calibration, run_calibration
from evals.chunking import run_chunking
from evals.comparison import print_comparison, run_comparison
from evals.export import ragas_rows
from evals.gate import decide, load_report
from evals.gate_report import print_decision
from evals.harvest import question_of
from evals.judge import open_judge
from evals.judge_model import MOST_REPEATS, open_judge_model
from evals.page.page import render_page
from evals.policy import DEFAULT, load_policy
from evals.preference import Comparer
from evals.progress import Progress
from evals.remote import open_remote
from evals.report import Report, print_report, require_writable, write_report
from evals.retrieval import RetrievalSuite, run_retrieval
from evals.service import open_in_process
from ingestion.opening import opened_database

commands = typer.Typer(no_args_is_help=True)

_JUDGE = "Chat model that judges: openai:NAME, gguf:PATH and so on, with the other settings of the chat model."
Judge = Annotated[str | None, typer.Option(help=_JUDGE)]
Repeats = Annotated[int, typer.Option(min=1, max=MOST_REPEATS, help="How often each answer is judged.")]
OPTIONS = {
    "beir": {"--chunk", "--collection", "--concurrency"},
    "chunking": {"--contexts"},
    "qa": {"--collection", "--concurrency", "--url", "--api-key-from-env", "--closed-book", "--judge", "--calibration"},
}
"""What each suite takes, beside what all do."""
EvaluatedLeg = Literal["lexical", "dense", "hybrid", "hybrid+rerank"]


@commands.callback()
def evaluate() -> None:
    """Measure how good retrieval and answers are, and whether a change makes it worse."""


@commands.command()
def run(
    suite: Annotated[str, typer.Option(help="beir:FOLDER, chunking:FOLDER or qa:FILE.")],
    leg: Annotated[
        EvaluatedLeg | None, typer.Option(help="Which retrieval is measured; hybrid, or of chunking dense.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the report, with every query, to this file.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many queries.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Queries at a time.")] = 1,
    chunk: Annotated[bool, typer.Option("--chunk", help="Cut the documents as ingestion does.")] = False,
    chunk_tokens: Annotated[int | None, typer.Option(help="Largest chunk; see FOOTNOTE_CHUNK_TOKENS.")] = None,
    contexts: Annotated[
        bool, typer.Option("--contexts", help="Of chunking: let the chat model situate each chunk first.")
    ] = False,
    collection: Annotated[
        str | None, typer.Option(help="Collection that the documents go to; of qa: the one that is asked.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Of qa: ask the service that runs at http://HOST:PORT.")] = None,
    api_key_from_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Environment variable with an API key of that service.")
    ] = None,
    closed_book: Annotated[
        bool, typer.Option("--closed-book", help="Of qa: ask the model alone, without the documents, as a control.")
    ] = False,
    judge: Judge = None,
    repeats: Repeats = 3,
    calibration: Annotated[
        Path | None, typer.Option(help="Of the judge, by `footnote eval calibrate --json`; without, it cannot gate.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where vectors and the embedded services' data are.")] = None,
) -> None:
    """Run a suite: ingest its documents where they are missing (not of qa:), ask its questions, print the measures."""
    configure_logging(level="warning", json=False)
    require_writable(json)
    settings = load_settings(data_dir=data_dir, chunk_tokens=chunk_tokens)
    kind, _, folder = suite.partition(":")
    given = {
        "--chunk": chunk,
        "--contexts": contexts,
        "--collection": collection,
        "--concurrency": concurrency > 1,
        "--url": url,
        "--api-key-from-env": api_key_from_env,
        "--closed-book": closed_book,
        "--judge": judge,
        "--calibration": calibration,
    }
    _require_fitting(kind, {option for option, value in given.items() if value})
    if kind == "beir" and folder:
        if leg == "hybrid+rerank" and settings.reranker == "none":
            raise ConfigurationError("No reranker is configured: set FOOTNOTE_RERANKER.")
        asked = RetrievalSuite(
            Path(folder),
            "hybrid" if leg is None or leg == "hybrid+rerank" else leg,
            limit,
            concurrency,
            collection,
            rechunk=chunk,
            rerank=leg == "hybrid+rerank",
        )
        report = _run_retrieval(settings, asked)
    elif kind == "chunking" and folder:
        if leg not in {None, "dense"}:
            raise InvalidInput("The suite chunking: is defined for --leg dense.")
        with Progress() as progress:
            report = asyncio.run(run_chunking(settings, Path(folder), progress, limit=limit, contexts=contexts))
    elif kind == "qa" and folder:
        if leg is not None or collection is None:
            raise InvalidInput("The suite qa: takes --collection NAME, whose documents are asked, and no --leg.")
        calibrated = load_report(calibration) if calibration is not None else None
        answers = AnswerSuite(Path(folder), collection, limit, concurrency, _prices(settings))
        target = _Target(url, _key(api_key_from_env)) if url is not None else None
        report = _run_answers(settings, answers, target, closed_book, judge, repeats, calibrated)
    else:
        raise InvalidInput(f"--suite is {suite}; it takes beir:FOLDER, chunking:FOLDER or qa:FILE.")
    print_report(report)
    if json is not None:
        write_report(report, json)


def _require_fitting(kind: str, given: set[str]) -> None:
    """Raise InvalidInput for an option of another suite, or without the one that it is for: it would do nothing."""
    if kind not in OPTIONS:
        return
    if wrong := given - OPTIONS[kind]:
        option = min(wrong)
        suites = " and ".join(f"{name}:" for name, options in OPTIONS.items() if option in options)
        hint = "; of a collection, `footnote context NAME --on` writes them" if option == "--contexts" else ""
        raise InvalidInput(f"{option} is for the suite {suites}, not for {kind}:{hint}.")
    if {"--url", "--closed-book"} <= given:
        raise InvalidInput("--url is for the suite qa: without --closed-book, which asks the model of this machine.")
    for option, other in (("--calibration", "--judge"), ("--api-key-from-env", "--url")):
        if option in given and other not in given:
            raise InvalidInput(f"{option} does nothing without {other}.")


@commands.command()
def gate(
    baseline: Annotated[Path, typer.Option(help="Report of the present state (`footnote eval run --json`).")],
    head: Annotated[Path, typer.Option(help="Report of the change.")],
    policy: Annotated[Path, typer.Option(help="What stops a change.")] = DEFAULT,
    json: Annotated[Path | None, typer.Option(help="Write the decision to this file.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write a summary for a pull request to this file.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML to this file.")] = None,
) -> None:
    """Say whether a change makes things worse. Exit code 1 when it does, 2 when the reports cannot be compared."""
    decision = decide(load_report(baseline), load_report(head), load_policy(policy))
    print_decision(decision)
    if json is not None:
        write_report({"passed": decision.passed, **msgspec.to_builtins(decision)}, json)
    if markdown is not None:
        gate_report.write(markdown, gate_report.markdown(decision).encode())
    if junit is not None:
        gate_report.write(junit, gate_report.junit(decision))
    if not decision.passed:
        raise typer.Exit(1)


@commands.command()
def compare(
    baseline: Annotated[Path, typer.Argument(help="Report of the present state (`footnote eval run --json`).")],
    head: Annotated[Path, typer.Argument(help="Report of the change.")],
    judge: Annotated[str, typer.Option(help=_JUDGE)],
    repeats: Annotated[int, typer.Option(min=1, max=MOST_REPEATS, help="How often each order is judged.")] = 1,
    json: Annotated[Path | None, typer.Option(help="Write the comparison, with every question, to this file.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where the judge's replies are kept.")] = None,
) -> None:
    """Let a judge say which of two answers is better, question by question, each pair shown in both orders."""
    configure_logging(level="warning", json=False)
    require_writable(json)
    settings, before, after = load_settings(data_dir=data_dir), load_report(baseline), load_report(head)

    async def run(progress: Progress) -> Report:
        async with open_judge_model(settings, judge, "judge-compare", repeats=repeats) as opened:
            return await run_comparison(before, after, Comparer(opened), progress)

    with Progress() as progress:
        found = asyncio.run(run(progress))
    print_comparison(found)
    if json is not None:
        write_report(found, json)


@commands.command()
def calibrate(
    labels: Annotated[Path, typer.Option(help="Lines of _id, question, reference, answer and label.")],
    judge: Annotated[str, typer.Option(help=_JUDGE)],
    repeats: Repeats = 3,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many labels.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the calibration to this file.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where the judge's replies are kept.")] = None,
) -> None:
    """Say how far a judge agrees with people's labels, and where it leans."""
    configure_logging(level="warning", json=False)
    require_writable(json)
    settings = load_settings(data_dir=data_dir)

    async def run(progress: Progress) -> Report:
        async with open_judge(settings, judge, repeats=repeats) as opened:
            return await run_calibration(opened, labels, progress, limit=limit)

    with Progress() as progress:
        found = asyncio.run(run(progress))
    print_calibration(found)
    if json is not None:
        write_report(found, json)


@commands.command()
def report(
    result: Annotated[Path, typer.Argument(help="Report of `footnote eval run --json`.")],
    html: Annotated[Path, typer.Option(help="Write the page to this file.")],
    baseline: Annotated[Path | None, typer.Option(help="Compare with this report of the same suite.")] = None,
    policy: Annotated[Path, typer.Option(help="What stops a change.")] = DEFAULT,
) -> None:
    """Write one HTML page that shows a result, question by question, and how it differs from a baseline."""
    head, rules = load_report(result), load_policy(policy)
    base = load_report(baseline) if baseline is not None else None
    decision = decide(base, head, rules) if base is not None else None
    gate_report.write(html, render_page(head, rules, base, decision).encode())
    sys.stdout.write(f"{html}\n")


@commands.command()
def export(
    result: Annotated[Path, typer.Argument(help="Report of `footnote eval run --suite qa:… --json`.")],
    ragas: Annotated[Path, typer.Option(help="Write its answers as ragas' samples, JSON lines, to this file.")],
) -> None:
    """Write the answers of a result for another tool to evaluate."""
    loaded = load_report(result)
    rows = ragas_rows(loaded)
    gate_report.write(ragas, _lines(rows))
    left_out = len(loaded["per_query"]) - len(rows)
    typer.echo(f"{len(rows)} answers in {ragas}; {left_out} questions have no answer.", err=True)


@commands.command()
def harvest(
    out: Annotated[Path, typer.Option(help="Write the questions to this file, which must not exist.")],
    data_dir: Annotated[Path | None, typer.Option(help="Where the embedded services' data are.")] = None,
) -> None:
    """Turn readers' ratings into questions of a suite, for someone to review."""
    configure_logging(level="warning", json=False)
    if out.exists():
        raise InvalidInput(f"{out} exists; name another file, so that nothing that was reviewed is lost.")
    with connected(load_settings(data_dir=data_dir)) as settings:
        lines = asyncio.run(_harvest(settings))
    if not lines:
        raise InvalidInput("No answer was rated yet; nothing was written.")
    gate_report.write(out, _lines(lines))
    typer.echo(f'{len(lines)} questions in {out}; review each and set "reviewed" to true before it counts.', err=True)


def _lines(values: Sequence[object]) -> bytes:
    """JSON lines."""
    return b"".join(msgspec.json.encode(value) + b"\n" for value in values)


async def _harvest(settings: Settings) -> list[dict[str, object]]:
    async with opened_database(settings) as database:
        rated = await FeedbackStore(database).rated(Principal().workspace_id)
    return [question_of(each) for each in rated]


@dataclass(frozen=True, slots=True)
class _Target:
    """A service behind a URL, and the key that it wants."""

    url: str
    key: str | None


def _key(variable: str | None) -> str | None:
    """An API key out of the environment, so that it stands in no list of processes."""
    if variable is None:
        return None
    key = environment_value(variable)
    if not key:
        raise ConfigurationError(f"The environment variable {variable}, which --api-key-from-env names, is not set.")
    return key.strip()


def _prices(settings: Settings) -> Prices | None:
    """What the chat model's tokens cost; None when nothing is said of it. Raises ConfigurationError for half of it."""
    prompt, completion = settings.chat_input_price, settings.chat_output_price
    if prompt is None and completion is None:
        return None
    if prompt is None or completion is None:
        raise ConfigurationError("Set both FOOTNOTE_CHAT_INPUT_PRICE and FOOTNOTE_CHAT_OUTPUT_PRICE, or neither.")
    return Prices(prompt, completion)


def _run_answers(
    settings: Settings,
    suite: AnswerSuite,
    target: _Target | None,
    closed_book: bool,
    judge: str | None,
    repeats: int,
    calibration: Report | None,
) -> Report:
    async def run(ready: Settings, progress: Progress) -> Report:
        if target is not None:
            opening = open_remote(target.url, target.key)
        else:
            opening = open_in_process(ready, closed_book=closed_book)
        if judge is None:
            return await run_answers(opening, suite, progress)
        async with open_judge(ready, judge, repeats=repeats) as opened:
            return await run_answers(opening, suite, progress, Judging(opened, calibration))

    with ExitStack() as stack:
        ready = settings if target is not None else stack.enter_context(connected(settings))
        return asyncio.run(run(ready, stack.enter_context(Progress())))


def _run_retrieval(settings: Settings, suite: RetrievalSuite) -> Report:
    with connected(settings) as ready, Progress() as progress:
        return asyncio.run(run_retrieval(ready, suite, progress))
