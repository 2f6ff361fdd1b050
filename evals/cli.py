"""Command line of evaluation: `footnote eval`."""

import asyncio
from pathlib import Path
from typing import Annotated, Literal

import typer

from app.domain.errors import ConfigurationError, InvalidInput
from app.embedded.connect import connected
from app.settings import load_settings
from app.telemetry import configure_logging
from evals.progress import Progress
from evals.report import print_report, write_report
from evals.retrieval import RetrievalSuite, run_retrieval

commands = typer.Typer(help="Measure how good retrieval is.", no_args_is_help=True)

EvaluatedLeg = Literal["lexical", "dense", "hybrid", "hybrid+rerank"]


@commands.callback()
def root() -> None:
    """Measure how good retrieval is."""


@commands.command()
def run(
    suite: Annotated[str, typer.Option(help="beir:FOLDER.")],
    leg: Annotated[EvaluatedLeg, typer.Option(help="Which retrieval is measured.")] = "hybrid",
    json: Annotated[Path | None, typer.Option(help="Write the report to this file, with every query.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many queries.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Queries at a time.")] = 1,
    chunk: Annotated[bool, typer.Option("--chunk", help="Cut the documents as ingestion does.")] = False,
    collection: Annotated[str | None, typer.Option(help="Collection that the documents go to.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where the embedded services keep their data.")] = None,
) -> None:
    """Run a suite: ingest its documents where they are missing, ask its queries, print the measures."""
    kind, _, path = suite.partition(":")
    if kind != "beir" or not path:
        raise InvalidInput(f"--suite is {suite}; it takes beir:FOLDER.")
    if leg == "hybrid+rerank":
        raise ConfigurationError("No reranker is configured.")
    measured = RetrievalSuite(Path(path), leg, limit, concurrency, collection, rechunk=chunk)
    with connected(load_settings(data_dir=data_dir)) as settings, Progress() as progress:
        configure_logging(level="warning", json=False)
        report = asyncio.run(run_retrieval(settings, measured, progress))
    print_report(report)
    if json is not None:
        write_report(report, json)
