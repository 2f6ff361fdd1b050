"""Operations: is it alive, is it ready, what does it count, what is it."""

import asyncio
from typing import Literal

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from pydantic import BaseModel

from app import __version__
from app.api.dependencies import ServicesDep, VisitorDep
from app.api.problems import RESPONSES
from app.domain.errors import FootnoteError
from app.settings import environment_value

router = APIRouter(tags=["operations"])

BIGGER_MODEL = (
    "Answers are written by a very small model that comes with Footnote, so only sentences that keep to the words of "
    "the documents are shown. For real answers use a bigger one: set FOOTNOTE_CHAT_MODEL to gguf:PATH, ollama:NAME, "
    "openai:NAME (with OPENAI_API_KEY) or anthropic:NAME (with ANTHROPIC_API_KEY) and start again."
)


class Ready(BaseModel):
    """`degraded`: answers stream, but cannot be resumed."""

    status: Literal["ready", "degraded", "unavailable"]
    database: Literal["ok", "unavailable"]
    run_log: Literal["ok", "unavailable"]


class ModelInfo(BaseModel):
    """The chat model; a small one is not trusted with its own words."""

    name: str
    small: bool


class About(BaseModel):
    """What this server runs; `hint` says how to get better answers."""

    version: str
    chat_model: ModelInfo
    embedder: str
    hint: str | None


@router.head("/healthz", include_in_schema=False)  # as monitors ask by default
@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process is alive."""
    return {"status": "ok"}


async def _ok(check: asyncio.Future[None] | asyncio.Task[None]) -> Literal["ok", "unavailable"]:
    try:
        await check
    except FootnoteError:
        return "unavailable"
    return "ok"


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", responses={503: {"model": Ready}})
async def readyz(services: ServicesDep, response: Response) -> Ready:
    """Whether questions can be answered now."""
    database, run_log = await asyncio.gather(
        _ok(asyncio.ensure_future(services.database.ping())), _ok(asyncio.ensure_future(services.run_log.ping()))
    )
    if database == "unavailable":
        response.status_code = 503
        return Ready(status="unavailable", database=database, run_log=run_log)
    return Ready(status="ready" if run_log == "ok" else "degraded", database=database, run_log=run_log)


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics() -> Response:
    """Counters in Prometheus' text format, of all workers of this `footnote serve`."""
    registry = REGISTRY
    if environment_value("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


@router.get("/v1/about", responses=RESPONSES)
async def about(_principal: VisitorDep, services: ServicesDep) -> About:
    """What this server runs."""
    profile = services.model.profile
    return About(
        version=__version__,
        chat_model=ModelInfo(name=profile.name, small=profile.small),
        embedder=services.embedder.name,
        hint=BIGGER_MODEL if profile.small else None,
    )
