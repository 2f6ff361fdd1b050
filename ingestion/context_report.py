"""Context report: the progress bar of `footnote context`."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ingestion.contextualizing import Report


class ContextBar:
    """A progress bar over chunks, called with the report as it stands; a context manager."""

    def __init__(self, console: Console, what: str, *, total: int | None = None, visible: bool) -> None:
        self._what = what
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("chunks"),
            TimeElapsedColumn(),
            console=console,
            disable=not visible,
            transient=True,
        )
        self._task = self._progress.add_task(what, total=total)

    def __enter__(self) -> "ContextBar":
        self._progress.start()
        return self

    def __call__(self, report: Report) -> None:
        """Show how far it is: chunks that are written, and what the language model has answered meanwhile."""
        asked = f", {report.contexts:,} asked of the model" if report.contexts else ""
        self._progress.update(
            self._task, description=self._what + asked, total=max(report.chunks, report.done), completed=report.done
        )

    def advance(self, chunks: int) -> None:
        """So many more are done."""
        self._progress.advance(self._task, chunks)

    def __exit__(self, *_error: object) -> None:
        self._progress.stop()
