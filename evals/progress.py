"""Progress: bars on the terminal's error output."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress


class Progress:
    """A bar for each stretch of work; nothing is drawn when the output is not a terminal."""

    def __init__(self) -> None:
        self._bars = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )

    def __enter__(self) -> "Progress":
        self._bars.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._bars.stop()

    def start(self, what: str, total: int, *, done: int = 0) -> TaskID:
        """A new bar."""
        return self._bars.add_task(what, total=total, completed=done)

    def advance(self, task: TaskID, by: int = 1) -> None:
        """So many more are done."""
        self._bars.advance(task, by)
