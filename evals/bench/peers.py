"""Peers: other vector stores, those that are installed (`uv sync --group bench`) and can hold this corpus."""

from contextlib import AsyncExitStack
from importlib import import_module
from importlib.util import find_spec

import psycopg
from sqlalchemy.exc import SQLAlchemyError

from app.domain.index import IndexGeneration
from evals.bench.contestants import Contestant
from evals.progress import Progress

# Each one's package, and our module over it: imported only when the package is there.
_STORES = {
    "llama-index": ("llama_index.vector_stores.postgres", "evals.bench.llamaindex"),
    "langchain": ("langchain_postgres", "evals.bench.langchain"),
}


async def open_peers(
    stack: AsyncExitStack, url: str, generation: IndexGeneration, progress: Progress, *, chunks: int, ef_search: int
) -> tuple[list[Contestant], dict[str, str]]:
    """Those that could be opened, closed with `stack`; and of the others the name and the reason."""
    peers, absent = list[Contestant](), dict[str, str]()
    task = progress.start("other stores", 2 * len(_STORES))
    for name, (package, module) in _STORES.items():
        if not _installed(package):
            absent[name] = "not installed (uv sync --group bench)"
            progress.advance(task, 2)
            continue
        open_store = import_module(module).open_store
        for tuned in (False, True):
            store = open_store(url, generation, chunks, tuned=tuned, ef_search=ef_search)
            try:
                peers.append(await stack.enter_async_context(store))
            except (SQLAlchemyError, psycopg.Error, ValueError) as error:
                absent[f"{name}{', tuned' if tuned else ''}"] = f"{type(error).__name__}: {error}".splitlines()[0]
            progress.advance(task)
    return peers, absent


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of a package that it would be in
        return False
