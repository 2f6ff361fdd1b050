"""Topic: those on this worker who wait for more of one run."""

import asyncio
from collections.abc import Callable


class Topic:
    """Wakes its readers when there is more, and now and then when there is not."""

    __slots__ = ("_quiet", "_waiting", "readers")

    def __init__(self) -> None:
        self.readers = 0
        self._waiting: list[tuple[asyncio.Future[bool], Callable[[], bool] | None]] = []
        self._quiet = False

    async def wait(self, taken: Callable[[], bool] | None = None) -> bool:
        """Until `wake`, which makes it true, or the second `tick` since.

        With `taken`, `wake` asks that instead, which must not raise; the wait goes on while it is true, and ends with
        False when it is not. This spares the waking of a task, which is most of what an event would cost.
        """
        woken: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((woken, taken))
        return await woken

    def wake(self) -> None:
        """There is more."""
        self._quiet = False
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            woken, taken = waiter
            if woken.done():  # its reader was cancelled
                continue
            if taken is None:
                woken.set_result(True)
            elif taken():
                self._waiting.append(waiter)
            else:
                woken.set_result(False)

    def tick(self) -> None:
        """Time passes."""
        if self._quiet:
            waiting, self._waiting = self._waiting, []
            for woken, _ in waiting:
                if not woken.done():
                    woken.set_result(False)
        self._quiet = True
