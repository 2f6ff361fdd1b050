"""Topic: those on this worker who wait for more of one run."""

import asyncio


class Topic:
    """Wakes its readers when there is more, and now and then when there is not."""

    __slots__ = ("_quiet", "_waiting", "readers")

    def __init__(self) -> None:
        self.readers = 0
        self._waiting: list[asyncio.Future[bool]] = []
        self._quiet = False

    async def wait(self) -> bool:
        """Until `wake`, which makes it true, or the second `tick` since."""
        woken: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(woken)
        return await woken

    def wake(self) -> None:
        """There is more."""
        self._quiet = False
        self._end(came=True)

    def tick(self) -> None:
        """Time passes."""
        if self._quiet:
            self._end(came=False)
        self._quiet = True

    def _end(self, *, came: bool) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for woken in waiting:
                if not woken.done():  # its reader was cancelled
                    woken.set_result(came)
