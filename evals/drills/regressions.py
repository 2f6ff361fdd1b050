"""Regressions drill: three changes for the worse are planted, and a change of nothing is tried often.

`python -m evals.drills.regressions [--noops 20] [--chat-model extractive|local]` ingests the handbook, runs its suite
as it is, with chunks of 2,000 tokens, with a prompt that lost its passages, and without the lexical leg, and asks the
gate about each beside the first. Exit code 1 when one is let through, or a run that changes nothing is stopped.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from app.embedded.connect import connected
from app.settings import Settings, load_settings
from app.telemetry import configure_logging
from evals.answers import AnswerSuite, run_answers
from evals.gate import Decision, decide
from evals.policy import load_policy
from evals.progress import Progress
from evals.report import Report
from evals.service import open_in_process
from ingestion.cli import ingest_files
from ingestion.sources.files import find_files

SUITE = Path(__file__).parent.parent / "datasets" / "sample" / "handbook.jsonl"
COLLECTION = "handbook"
LARGE_CHUNK = 2000
console = Console(soft_wrap=True)


def main(
    noops: Annotated[int, typer.Option(min=1, help="How often the suite runs without any change.")] = 20,
    chat_model: Annotated[str, typer.Option(help="`extractive`, which is fast, or another.")] = "extractive",
) -> None:
    """Run all of them, print the table, judge."""
    configure_logging(level="warning", json=False)
    with tempfile.TemporaryDirectory() as folder:
        caught, passed = drill(Path(folder), noops, {"chat_model": chat_model})
    table = Table("planted", "the gate says", "worse")
    for name, decision in caught.items():
        table.add_row(name, "stop" if not decision.passed else "pass", _worse(decision))
    table.add_row("nothing", f"pass, {sum(each.passed for each in passed)} times of {noops}", "")
    console.print(table)
    missed = any(decision.passed for decision in caught.values()) or not all(each.passed for each in passed)
    raise typer.Exit(1 if missed else 0)


def drill(folder: Path, noops: int, chosen: Mapping[str, Any]) -> tuple[dict[str, Decision], list[Decision]]:
    """What the gate decided about each planted change by its name, and about each run that changed nothing."""
    usual: dict[str, Any] = {"log_level": "warning", **chosen}
    policy = load_policy()
    with connected(load_settings(data_dir=folder / "usual", **usual)) as settings:
        asyncio.run(_ingest(settings))
        base = _run(settings)
        passed = [decide(base, _run(settings), policy) for _ in range(noops)]
        planted: dict[str, dict[str, Any]] = {
            "a prompt without its passages": {"prompts_dir": _broken_prompts(settings, folder / "prompts")},
            "no lexical leg": {"fusion": "convex", "fusion_dense_weight": 1.0},
        }
        caught = {
            name: decide(base, _run(settings.model_copy(update=change)), policy) for name, change in planted.items()
        }
    with connected(load_settings(data_dir=folder / "large", chunk_tokens=LARGE_CHUNK, **usual)) as settings:
        asyncio.run(_ingest(settings))
        caught[f"chunks of {LARGE_CHUNK} tokens"] = decide(base, _run(settings), policy)
    return caught, passed


async def _ingest(settings: Settings) -> None:
    await ingest_files(settings, find_files([settings.handbook_dir]), COLLECTION, lambda _report: None)


def _run(settings: Settings) -> Report:
    with Progress() as progress:
        return asyncio.run(run_answers(open_in_process(settings), AnswerSuite(SUITE, COLLECTION), progress))


def _broken_prompts(settings: Settings, folder: Path) -> Path:
    """The prompts as they are, but that the passages come out as a full stop."""
    shutil.copytree(settings.prompts_dir, folder)
    for path in [*folder.glob("answer/*.md"), *folder.glob("answer-small/*.md")]:
        path.write_text(path.read_text().replace("$passages", ".").replace("variables: passages, ", "variables: "))
    return folder


def _worse(decision: Decision) -> str:
    return ", ".join(
        f"{each.measure} {each.difference:+.3f}" for each in decision.comparisons if each.verdict == "worse"
    )


if __name__ == "__main__":
    typer.run(main)
