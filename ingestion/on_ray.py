"""On Ray: files are parsed and texts embedded on the machines of a Ray cluster (extra `ray`).

Reading sources and writing to the database stay in the process that was started, so that no other machine needs to
reach either. Every machine has Footnote installed, in the same version.
"""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, redirect_stdout
from typing import Any

import numpy as np
import ray

from app.domain.errors import ConfigurationError, DamagedFile
from app.domain.ports import Embedder, Vectors
from app.providers.embedder import make_embedder
from app.settings import Settings
from ingestion.actors import Actors, Lost
from ingestion.parsing import Contents, Cutting, parse
from ingestion.sandbox import Sandbox
from ingestion.sources.source import Content

LOCAL = "ray"  # the address of a cluster that this machine is part of
PIECE = 32  # texts that an embedder is given at a time
ATTEMPTS = 3  # to parse a file that ends the process which does it
_PROCESSORS_A_PARSER = 4  # parsing takes a few hundredths of what embedding does
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
                place.close()
        except ExceptionGroup as group:  # of the tasks or of what was done with the place: the first one is the cause
            raise group.exceptions[0] from group
        finally:
            ray.shutdown()


def _connect(address: str) -> None:
    try:
        ray.init(address="auto" if address == LOCAL else address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1][:300]  # the last line of a traceback
        raise ConfigurationError(
            f"No Ray cluster answers at `{address}` ({reason}). Start one with `ray start --head`, or give "
            "the address of one: `--on ray://HOST:10001`."
        ) from error


class RayPlace:
    """An embedder for every `embedder_threads` processors of the cluster, a parser for every four.

    Parsers claim no processors. They are actors too: Ray ends the processes of tasks after a second without one, and
    starting another takes two.
    """

    def __init__(self, settings: Settings, tasks: asyncio.TaskGroup) -> None:
        nodes = [cpus for node in _nodes() if node["Alive"] and (cpus := int(node["Resources"].get("CPU", 0)))]
        if not nodes:
            raise ConfigurationError("The Ray cluster has no processors: start it with `ray start --num-cpus N`.")
        processors = min(settings.embedder_threads, *nodes)
        self.embedders = sum(cpus // processors for cpus in nodes)
        self.parsers = sum(-(-cpus // _PROCESSORS_A_PARSER) for cpus in nodes)
        remote = settings.model_copy(update={**_SECRETS, "embedder_threads": processors})
        models = Actors("embedder", lambda: _Model.options(num_cpus=processors).remote(remote), self.embedders, tasks)  # type: ignore[attr-defined]
        self.embedder = RayEmbedder(models)
        self._parsers = Actors("parser", _Parser.remote, self.parsers, tasks)  # type: ignore[attr-defined]

    async def parse(self, content: Content, cutting: Cutting) -> Contents:
        """Read a file. Raises UnreadableFile, ProviderUnavailable."""
        try:
            contents: Contents = await self._parsers.call("parse", content, cutting, attempts=ATTEMPTS)
        except Lost as error:
            raise DamagedFile("The file ended each process that was to parse it, so it was left out.") from error
        return contents

    def close(self) -> None:
        """Wait no longer for what has not started."""
        self.embedder.models.close()
        self._parsers.close()


def _nodes() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return found


@ray.remote(num_cpus=0, scheduling_strategy="SPREAD")
class _Parser:
    """Parses on a machine of the cluster, in a sandbox that ends with it."""

    def __init__(self) -> None:
        self._sandbox = Sandbox()

    def ready(self) -> None:
        """It is."""

    def parse(self, content: Content, cutting: Cutting) -> Contents:
        return parse(content, cutting, self._sandbox)


@ray.remote
class _Model:
    """An embedder on a machine of the cluster."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._embedder: Embedder | None = None

    async def ready(self) -> tuple[str, int]:
        """Name and dimensions, once it is loaded. Raises ConfigurationError, ProviderError."""
        self._embedder = self._embedder or make_embedder(self._settings)
        return self._embedder.name, self._embedder.dimensions

    async def embed(self, texts: Sequence[str]) -> Vectors:
        assert self._embedder is not None  # noqa: S101 - asked `ready` before
        return await self._embedder.embed_passages(texts)


class RayEmbedder:
    """Embeds on the cluster, in pieces, so that a document of many chunks keeps all embedders busy, not one."""

    def __init__(self, models: Actors) -> None:
        self.models = models
        self.name = ""
        self.dimensions = 0

    async def ready(self) -> None:
        """Wait for the first embedder, which tells name and dimensions. Raises ConfigurationError, ProviderError."""
        self.name, self.dimensions = await self.models.ready()

    async def embed_query(self, text: str) -> Vectors:
        """One question, shape (1, dimensions)."""
        return await self.embed_passages([text])

    async def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """Passages in their order, shape (len(texts), dimensions). Raises ProviderError."""
        pieces = [list(texts[at : at + PIECE]) for at in range(0, len(texts), PIECE)]
        return np.concatenate(await asyncio.gather(*(self.models.call("embed", piece) for piece in pieces)))

    async def close(self) -> None:
        """The models end with the connection to the cluster."""
