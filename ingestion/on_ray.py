"""On Ray: files are parsed and texts embedded on the machines of a Ray cluster (extra `ray`).

Reading sources and writing to the database stay in the process that was started, so that no other machine needs to
reach either. Every machine has Footnote installed, in the same version.
"""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, redirect_stdout
from functools import cache
from typing import Any

import numpy as np
import ray
import structlog
from ray.exceptions import RayError, RayTaskError, RuntimeEnvSetupError

from app.domain.errors import ConfigurationError, DamagedFile, FootnoteError, ProviderUnavailable
from app.domain.ports import Embedder, Vectors
from app.providers.embedder import make_embedder
from app.settings import Settings
from ingestion.parsing import Contents, Cutting, parse
from ingestion.sandbox import Sandbox
from ingestion.sources.source import Content

log = structlog.get_logger()

LOCAL = "ray"  # the address of a cluster that this machine is part of
PIECE = 32  # texts that an embedder is given at a time
PATIENCE_S = 120.0  # without an embedder anywhere, until it is given up
_LOOK_S = 1.0
_RETRY_S = 10.0
_SECRETS = {"database_url": None, "redis_url": None}


@asynccontextmanager
async def on_ray(address: str, settings: Settings) -> AsyncIterator["RayPlace"]:
    """The cluster at `ray` (the one this machine is part of) or `ray://HOST:PORT`.

    Raises ConfigurationError when there is none, ProviderError when the embedder does not start on it.
    """
    with redirect_stdout(sys.stderr):  # where Ray tells of machines that are lost
        _connect(address)
        try:
            async with asyncio.TaskGroup() as tasks:
                place = RayPlace(settings, tasks)
                await place.embedder.ready()
                yield place
                await place.embedder.close()
        except ExceptionGroup as group:  # of the tasks or of what was done with the place: the first one is the cause
            raise group.exceptions[0] from group
        finally:
            ray.shutdown()


def _connect(address: str) -> None:
    try:
        ray.init(address="auto" if address == LOCAL else address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigurationError(
            f"No Ray cluster answers at `{address}` ({' '.join(str(error).split())[:200]}). Start one with `ray start "
            "--head`, or give the address of one: `--on ray://HOST:10001`."
        ) from error


class RayPlace:
    """An embedder for every `embedder_threads` processors of the cluster, and as many parsers as it has processors."""

    def __init__(self, settings: Settings, tasks: asyncio.TaskGroup) -> None:
        nodes = [int(node["Resources"].get("CPU", 0)) for node in _nodes() if node["Alive"]]
        self.parsers = sum(nodes)
        if not self.parsers:
            raise ConfigurationError("The Ray cluster has no processors: start it with `ray start --num-cpus N`.")
        processors = min(settings.embedder_threads, *(cpus for cpus in nodes if cpus), self.parsers)
        remote = settings.model_copy(update={**_SECRETS, "embedder_threads": processors})
        self.embedders = sum(cpus // processors for cpus in nodes)
        self.embedder = _Embedders(remote, processors, self.embedders, tasks)

    async def parse(self, content: Content, cutting: Cutting) -> Contents:
        """Read a file. Raises UnreadableFile."""
        try:
            contents: Contents = await _parse.remote(content, cutting)
        except RayTaskError as error:
            raise _cause(error) from error
        except RayError as error:  # Ray has tried three machines
            log.warning("ray.parser_died", name=content.name, problem=str(error))
            raise DamagedFile("The file ended each process that was to parse it, so it was left out.") from error
        return contents


def _nodes() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return found


@cache
def _sandbox() -> Sandbox:
    """Of a process of the cluster; ends with it."""
    return Sandbox()


@ray.remote(num_cpus=0, scheduling_strategy="SPREAD")
def _parse(content: Content, cutting: Cutting) -> Contents:
    return parse(content, cutting, _sandbox())


@ray.remote
class _Model:
    """An embedder on a machine of the cluster."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._embedder: Embedder | None = None

    async def about(self) -> tuple[str, int]:
        """Name and dimensions, once it is loaded. Raises ConfigurationError, ProviderError."""
        self._embedder = self._embedder or make_embedder(self._settings)
        return self._embedder.name, self._embedder.dimensions

    async def embed(self, texts: Sequence[str]) -> Vectors:
        assert self._embedder is not None  # noqa: S101 - asked `about` before
        return await self._embedder.embed_passages(texts)


class _Embedders:
    """Embedders on the cluster, one piece of a batch at a time each.

    When one dies with its machine, another does its piece; in its place a new one is asked for, which starts as soon as
    the cluster has room for it.
    """

    def __init__(self, settings: Settings, processors: int, number: int, tasks: asyncio.TaskGroup) -> None:
        self._settings = settings
        self._processors = processors
        self._tasks = tasks
        self._idle = asyncio.Queue[Any]()
        self._alive = 0
        self._about: tuple[str, int] | None = None
        self._starting = {tasks.create_task(self._start()) for _ in range(number)}

    @property
    def name(self) -> str:
        """The identity that an index generation stores."""
        assert self._about is not None  # noqa: S101 - it is ready
        return self._about[0]

    @property
    def dimensions(self) -> int:
        """The length of each vector."""
        assert self._about is not None  # noqa: S101 - it is ready
        return self._about[1]

    async def ready(self) -> None:
        """Wait for the first. Raises ProviderUnavailable."""
        self._idle.put_nowait(await self._take())

    async def embed_query(self, text: str) -> Vectors:
        """One question, shape (1, dimensions)."""
        return await self.embed_passages([text])

    async def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """Passages in their order, shape (len(texts), dimensions). Raises ProviderError.

        In pieces, so that a document of many chunks keeps all embedders busy, not one.
        """
        pieces = [texts[at : at + PIECE] for at in range(0, len(texts), PIECE)]
        return np.concatenate(await asyncio.gather(*map(self._embed, pieces)))

    async def _embed(self, texts: Sequence[str]) -> Vectors:
        while True:
            model = await self._take()
            try:
                vectors: Vectors = await model.embed.remote(list(texts))
            except RayTaskError as error:
                self._idle.put_nowait(model)
                raise _cause(error) from error
            except RayError as error:
                log.warning("ray.embedder_died", problem=str(error).splitlines()[0], left=self._alive - 1)
                self._alive -= 1
                self._starting.add(self._tasks.create_task(self._start()))
            else:
                self._idle.put_nowait(model)
                return vectors

    async def close(self) -> None:
        """Wait no longer for those that have not started."""
        for task in self._starting:
            task.cancel()

    async def _start(self) -> None:
        while True:
            model = _Model.options(num_cpus=self._processors).remote(self._settings)  # type: ignore[attr-defined]
            try:
                self._about = await model.about.remote()
            except RayTaskError as error:
                raise _cause(error) from error
            except RuntimeEnvSetupError as error:
                raise ConfigurationError(
                    "Ray's nodes try to install this folder, as they do for a cluster that was started by `uv run`. "
                    f"Start its nodes with RAY_ENABLE_UV_RUN_RUNTIME_ENV=0. ({' '.join(str(error).split())[:200]})"
                ) from error
            except RayError as error:
                log.warning("ray.embedder_not_started", problem=str(error).splitlines()[0])
                await asyncio.sleep(_RETRY_S)
            else:
                self._alive += 1
                self._idle.put_nowait(model)
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
                    f"For {PATIENCE_S:.0f} s no machine of the Ray cluster has had {self._processors} processors free "
                    "for an embedder. What was written stays; run the same command again to go on."
                )


def _cause(error: RayTaskError) -> Exception:
    """What the task raised."""
    cause = error.cause
    return cause if isinstance(cause, FootnoteError) else error
