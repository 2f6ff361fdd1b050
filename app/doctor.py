"""Doctor: looks at everything an answer needs and says what to do about what is missing."""

import asyncio
import platform
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from time import perf_counter
from typing import Literal

from app import __version__
from app.bootstrap import RETIRED, make_prompts
from app.domain.conversation import ChatMessage
from app.domain.errors import FootnoteError
from app.domain.index import chunker_id
from app.domain.principal import DEFAULT_WORKSPACE_ID
from app.providers.chat_model import make_chat_model
from app.providers.embedder import make_embedder
from app.providers.reranker import make_reranker
from app.settings import Settings
from app.storage.documents import DocumentStore
from app.storage.engine import Database
from app.storage.generations import active_generation, readable_generation, require_chunker
from app.storage.revision import require_current
from app.storage.run_log import RunLog
from app.storage.text_search import require_text_search

State = Literal["ok", "warning", "error"]

BIGGER_MODEL = (
    "the packaged model is very small: only its sentences that the documents support are shown. For real answers set "
    "FOOTNOTE_CHAT_MODEL to gguf:PATH (a GGUF file, such as a 7B instruct model), ollama:NAME (a running Ollama), "
    "openai:NAME (with OPENAI_API_KEY) or anthropic:NAME (with ANTHROPIC_API_KEY)"
)

_PASSAGE = "The ferry leaves at nine, and on Sundays at ten. " * 12  # as long as a chunk


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: how it is, and what to do when it is not well."""

    name: str
    state: State
    detail: str


async def examine(settings: Settings) -> list[Finding]:
    """Look at the services of the two URLs, the index and the models; the chat model writes one token for it."""
    assert settings.database_url is not None  # noqa: S101 - `connected` sets both
    assert settings.redis_url is not None  # noqa: S101
    database = Database(settings.database_url.get_secret_value(), pool_size=1)
    run_log = RunLog(settings.redis_url.get_secret_value())
    await database.open()
    try:
        store = await _look("database", lambda: _database(database))
        findings = [
            Finding("footnote", "ok", f"{__version__} on Python {platform.python_version()}, {platform.platform()}"),
            store,
            await _look("run log", lambda: _run_log(run_log)),
            await _look("prompts", lambda: _prompts(settings)),
            await _look("chat model", lambda: _chat_model(settings)),
            await _look("reranker", lambda: _reranker(settings)),
        ]
        if store.state != "error":
            findings.append(await _look("embedder", lambda: _embedder(settings, database)))
            findings.append(await _look("ingestion", lambda: _ingestion(settings, database)))
            findings.append(await _look("documents", lambda: _documents(database)))
        return findings
    finally:
        await run_log.close()
        await database.close()


async def _look(name: str, check: Callable[[], Awaitable[tuple[State, str]]]) -> Finding:
    try:
        state, detail = await check()
    except FootnoteError as error:
        return Finding(name, "error", error.for_operators)
    return Finding(name, state, detail)


async def _database(database: Database) -> tuple[State, str]:
    await require_current(database)
    await database.ping()
    version, vector, bypasses = await database.describe()
    detail = f"PostgreSQL {version}, pgvector {vector}, schema current"
    if bypasses:
        return "warning", (
            f"{detail}; the role of DATABASE_URL is a superuser or has BYPASSRLS, so row-level security does not bind "
            "it: give Footnote a role of its own that owns the database"
        )
    return "ok", detail


async def _run_log(run_log: RunLog) -> tuple[State, str]:
    return "ok", await run_log.describe()


async def _embedder(settings: Settings, database: Database) -> tuple[State, str]:
    embedder = make_embedder(settings)
    try:
        generation = await readable_generation(database, embedder=embedder.name, dimensions=embedder.dimensions)
        await embedder.embed_query("warm up")
        started = perf_counter()
        await embedder.embed_query("How long does this take?")
        ms = (perf_counter() - started) * 1000
        detail = f"{embedder.name}, {embedder.dimensions} dimensions, {ms:.0f} ms a query"
        if generation is not None and generation.state == "retired":
            return "warning", f"{detail}; {RETIRED}"
        return "ok", detail
    finally:
        await embedder.close()


async def _ingestion(settings: Settings, database: Database) -> tuple[State, str]:
    """Whether documents cut and indexed as the settings say go into the index."""
    await require_text_search(database, settings.text_search_config)
    chunker, generation = chunker_id(settings.chunk_tokens), await active_generation(database)
    if generation is not None:
        require_chunker(generation, chunker)
    return "ok", f"chunks {chunker}, text search {settings.text_search_config}"


async def _prompts(settings: Settings) -> tuple[State, str]:
    prompts = make_prompts(settings)
    used = (prompts.answer, prompts.answer_small, prompts.condense, prompts.summary)
    return "ok", ", ".join(prompt.reference for prompt in used)


async def _documents(database: Database) -> tuple[State, str]:
    collections = await DocumentStore(database).collections(DEFAULT_WORKSPACE_ID)
    if not any(collection.documents for collection in collections):
        return "warning", "none yet; `footnote ingest PATH` brings some in"
    return "ok", ", ".join(f"{c.name}: {c.documents}" for c in collections)


async def _chat_model(settings: Settings) -> tuple[State, str]:
    model = make_chat_model(settings)
    try:
        started = perf_counter()
        async with aclosing(model.stream([ChatMessage("user", "Say yes.")], max_tokens=1)) as deltas:
            async for _delta in deltas:
                pass
        detail = f"{model.profile.name} answers, {perf_counter() - started:.1f} s with loading"
        return ("warning", f"{detail}; {BIGGER_MODEL}") if model.profile.small else ("ok", detail)
    finally:
        await model.close()


async def _reranker(settings: Settings) -> tuple[State, str]:
    reranker = make_reranker(settings)
    if reranker is None:
        return "ok", "none, passages keep the order of retrieval; see FOOTNOTE_RERANKER"
    candidates, limit_s = settings.rerank_candidates, settings.reranker_timeout_s
    try:
        await reranker.rerank("Does it answer?", ["It answers."])  # a model on this machine loads here
        started = perf_counter()
        async with asyncio.timeout(limit_s):
            await reranker.rerank("Is it fast enough?", [f"{n}. {_PASSAGE}" for n in range(candidates)])
        return "ok", f"{reranker.name}, {candidates} passages in {(perf_counter() - started) * 1000:.0f} ms"
    except TimeoutError:
        return "warning", (
            f"{reranker.name} does not rerank {candidates} passages within {limit_s:g} s, so they keep the order of "
            "retrieval: lower FOOTNOTE_RERANK_CANDIDATES or raise FOOTNOTE_RERANKER_TIMEOUT_S"
        )
    finally:
        await reranker.close()
