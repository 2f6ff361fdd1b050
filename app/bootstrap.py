"""Bootstrap: the only place that joins concretes."""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import structlog
from anyio import to_thread

from app.domain.errors import ConfigurationError
from app.domain.ports import ChatModel, Embedder
from app.providers.chat_model import make_chat_model
from app.providers.embedder import make_embedder
from app.providers.local_embedder import LocalEmbedder
from app.providers.prompt_files import PromptFiles
from app.providers.reranker import make_reranker
from app.providers.tokenizer import count_tokens, decode_tokens
from app.services.answering import Answering, AnsweringOptions, Prompts
from app.services.embedding import Embedding
from app.services.evidence import EvidenceGate
from app.services.reranking import Reranking
from app.services.retrieval import Retrieval
from app.services.runs import RunLimits, Runs
from app.services.uploads import Uploads
from app.settings import Settings
from app.storage.conversations import ConversationStore
from app.storage.documents import DocumentStore
from app.storage.engine import Database
from app.storage.feedback import FeedbackStore
from app.storage.generations import readable_generation
from app.storage.passages import SearchOptions
from app.storage.rate_limit import RateLimit
from app.storage.revision import require_current
from app.storage.run_log import RunLog
from app.storage.runs import RunStore

log = structlog.get_logger()

RETIRED = (
    "the index was rebuilt with another embedder (`footnote reindex --status`): set FOOTNOTE_EMBEDDER to it; until "
    "then answers come from the former index, which gets no new documents and can be purged"
)


@dataclass(frozen=True, slots=True)
class Services:
    """What the API and the command line call."""

    settings: Settings
    database: Database
    run_log: RunLog
    model: ChatModel
    embedder: Embedder
    retrieval: Retrieval
    answering: Answering
    runs: Runs
    conversations: ConversationStore
    documents: DocumentStore
    embedding: Embedding
    uploads: Uploads
    feedback: FeedbackStore


@asynccontextmanager
async def open_services(settings: Settings, *, worker: bool = True) -> AsyncIterator[Services]:
    """Everything wired and checked, closed at the end. `database_url` and `redis_url` must be set.

    `worker`: take over answers that other workers lost or hand over, as a server does.

    Raises ConfigurationError (and its kinds) when the settings, the prompts, the schema or the index do not
    fit together, and DatabaseUnavailable.
    """
    if settings.database_url is None or settings.redis_url is None:
        raise ConfigurationError("Set DATABASE_URL and REDIS_URL, or start with `footnote up`, which brings its own.")
    prompts = make_prompts(settings)
    async with AsyncExitStack() as stack:
        model = make_chat_model(settings)
        stack.push_async_callback(model.close)
        embedder = make_embedder(settings)
        stack.push_async_callback(embedder.close)
        reranking = make_reranking(settings)
        if reranking is not None:
            stack.push_async_callback(reranking.close)
        database = Database(settings.database_url.get_secret_value(), pool_size=settings.database_pool_size)
        await database.open()
        stack.push_async_callback(database.close)
        await require_fit(database, embedder)
        # the tokenizer's tables and anyio's threads are loaded now, not in the way of the first answers
        await to_thread.run_sync(count_tokens, "")
        run_log = RunLog(settings.redis_url.get_secret_value(), ttl_s=settings.run_log_ttl_s)
        stack.push_async_callback(run_log.close)
        rate_limit = None
        if settings.runs_per_minute is not None:
            rate_limit = RateLimit(settings.redis_url.get_secret_value(), per_minute=settings.runs_per_minute)
            stack.push_async_callback(rate_limit.close)
        retrieval = make_retrieval(settings, database, embedder, reranking)
        gate = EvidenceGate(settings.min_evidence, embedder if isinstance(embedder, LocalEmbedder) else None)
        answering = Answering(retrieval, gate, model, prompts, count_tokens, _options(settings))
        conversations, documents = ConversationStore(database), DocumentStore(database)
        runs = Runs(
            RunStore(
                database, worker=f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}", lease_s=settings.run_lease_s
            ),
            conversations,
            run_log,
            answering,
            retrieval,
            count_tokens,
            RunLimits(
                max_s=settings.run_max_s,
                lease_s=settings.run_lease_s,
                at_once=settings.runs_at_once,
                written=settings.runs_written,
                abandon_after_s=settings.abandon_after_s,
            ),
            rate_limit,
        )
        await runs.open(await database.identity() if worker else None)
        stack.push_async_callback(runs.close, settings.shutdown_grace_s)
        yield Services(
            settings,
            database,
            run_log,
            model,
            embedder,
            retrieval,
            answering,
            runs,
            conversations,
            documents,
            Embedding(embedder, count_tokens, decode_tokens),
            Uploads.on(database, settings.uploads_dir),
            FeedbackStore(database),
        )


def make_reranking(settings: Settings) -> Reranking | None:
    """Reranking as the settings want it; None without a reranker. Whoever makes it closes it."""
    reranker = make_reranker(settings)
    if reranker is None:
        return None
    return Reranking(reranker, timeout_s=settings.reranker_timeout_s, candidates=settings.rerank_candidates)


def make_retrieval(
    settings: Settings, database: Database, embedder: Embedder, reranking: Reranking | None = None
) -> Retrieval:
    """Retrieval as the settings want it."""
    return Retrieval(
        database,
        embedder,
        SearchOptions(
            fusion=settings.fusion,
            dense_weight=settings.fusion_dense_weight,
            rrf_k=settings.rrf_k,
            dense_candidates=settings.candidates_per_leg,
            lexical_candidates=settings.candidates_per_leg,
            k1=settings.bm25_k1,
            b=settings.bm25_b,
            candidate_rows=settings.hnsw_candidate_rows,
            ef_search=settings.hnsw_ef_search,
        ),
        reranking=reranking,
    )


@asynccontextmanager
async def open_retrieval(settings: Settings) -> AsyncIterator[Retrieval]:
    """Retrieval alone, for a command that searches once. Raises as `open_services`."""
    assert settings.database_url is not None  # noqa: S101 - `connected` sets it
    async with AsyncExitStack() as stack:
        embedder = make_embedder(settings)
        stack.push_async_callback(embedder.close)
        reranking = make_reranking(settings)
        if reranking is not None:
            stack.push_async_callback(reranking.close)
        database = Database(settings.database_url.get_secret_value(), pool_size=1)
        await database.open()
        stack.push_async_callback(database.close)
        await require_fit(database, embedder)
        yield make_retrieval(settings, database, embedder, reranking)


async def require_fit(database: Database, embedder: Embedder) -> None:
    """Raise SchemaOutdated or EmbedderMismatch when the database was made for something else.

    A retired generation that fits will do, with a warning: nothing that is ingested now comes into it.
    """
    await require_current(database)
    generation = await readable_generation(database, embedder=embedder.name, dimensions=embedder.dimensions)
    if generation is not None and generation.state == "retired":
        log.warning("embedder_of_a_retired_index", embedder=embedder.name, generation=generation.id, hint=RETIRED)


def make_prompts(settings: Settings) -> Prompts:
    """The prompts of answering that are in use. Raises ConfigurationError."""
    files = PromptFiles(settings.prompts_dir)
    return Prompts(
        answer=files.active("answer"),
        answer_small=files.active("answer-small"),
        condense=files.active("condense"),
        summary=files.active("summary"),
    )


def _options(settings: Settings) -> AnsweringOptions:
    return AnsweringOptions(
        max_tokens=settings.chat_max_tokens,
        history_tokens=settings.history_tokens,
        passages=settings.passages_per_answer,
        withhold=None if settings.unsupported == "auto" else settings.unsupported == "withhold",
        own_words=None if settings.own_words == "auto" else settings.own_words == "yes",
    )
