"""Actors: processes on a Ray cluster that take one call at a time each, and are replaced when they are lost."""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from ray.exceptions import RayError, RayTaskError, RuntimeEnvSetupError

from app.domain.errors import ConfigurationError, FootnoteError, ProviderUnavailable

log = structlog.get_logger()

PATIENCE_S = 120.0  # without an actor anywhere, until it is given up
_LOOK_S = 1.0
_RETRY_S = 10.0


class Lost(Exception):
    """Every actor that took the call was lost with it."""


class Actors:
    """So many actors of one kind; each has a method `ready`, which is called first.

    When one is lost with its machine, another takes its call. In its place a new one is asked for, which starts as soon
    as the cluster has room for it.
    """

    def __init__(self, what: str, start: Callable[[], Any], number: int, tasks: asyncio.TaskGroup) -> None:
        """`what` they are called in messages; `start` makes one; they are started and replaced by `tasks`."""
        self._what = what
        self._make = start
        self._tasks = tasks
        self._idle = asyncio.Queue[Any]()
        self._alive = 0
        self._first: Any = None
        self._starting = {tasks.create_task(self._start()) for _ in range(number)}

    async def ready(self) -> Any:
        """Wait for one of them; what its `ready` returned. Raises what that raised, and ProviderUnavailable."""
        self._idle.put_nowait(await self._take())
        return self._first

    async def call(self, method: str, *arguments: Any, attempts: int | None = None) -> Any:
        """What the method of one of them returns for serialised arguments.

        Raises what it raised; Lost when `attempts` actors (None: any number) were lost with the call; and
        ProviderUnavailable when there has been none for PATIENCE_S.
        """
        lost = 0
        while True:
            actor = await self._take()
            try:
                result = await getattr(actor, method).remote(*arguments)
            except RayTaskError as error:
                self._idle.put_nowait(actor)
                raise _cause(error) from error
            except RayError as error:
                lost, self._alive = lost + 1, self._alive - 1
                log.warning(f"ray.{self._what}_lost", left=self._alive, problem=str(error).splitlines()[0])
                self._starting.add(self._tasks.create_task(self._start()))
                if lost == attempts:
                    raise Lost from error
            else:
                self._idle.put_nowait(actor)
                return result

    def close(self) -> None:
        """Wait no longer for those that have not started."""
        for task in self._starting:
            task.cancel()

    async def _start(self) -> None:
        while True:
            actor = self._make()
            try:
                self._first = await actor.ready.remote()
            except RayTaskError as error:
                raise _cause(error) from error
            except RuntimeEnvSetupError as error:
                raise ConfigurationError(
                    "Ray's nodes try to install this folder, as they do for a cluster that was started by `uv run`. "
                    f"Start its nodes with RAY_ENABLE_UV_RUN_RUNTIME_ENV=0. ({' '.join(str(error).split())[:200]})"
                ) from error
            except RayError as error:
                log.warning(f"ray.{self._what}_not_started", problem=str(error).splitlines()[0])
                await asyncio.sleep(_RETRY_S)
            else:
                self._alive += 1
                self._idle.put_nowait(actor)
                return

    async def _take(self) -> Any:
        """One that has nothing to do."""
        waited = 0.0
        while True:
            try:
                return await asyncio.wait_for(self._idle.get(), _LOOK_S)
            except TimeoutError:
                waited = 0.0 if self._alive else waited + _LOOK_S
            if waited >= PATIENCE_S:
                raise ProviderUnavailable(
                    f"For {PATIENCE_S:.0f} s no machine of the Ray cluster has had room for the {self._what}. What was "
                    "written stays; run the same command again to go on."
                )


def _cause(error: RayTaskError) -> Exception:
    """What the method raised."""
    cause = error.cause
    return cause if isinstance(cause, FootnoteError) else error
