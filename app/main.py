"""The application: `create_app(settings)` composes the API; its lifespan opens the services."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from app import __version__
from app.api import (
    ag_ui,
    ai_sdk,
    chat,
    conversations,
    documents,
    feedback,
    openai_chat,
    openai_models,
    openai_responses,
    openapi,
    operations,
    problems,
    runs,
    uploads,
    widget,
)
from app.api.auth import Authenticator
from app.api.limits import FORM_BYTES, BodyLimit, HostGuard
from app.api.streams import Unwound
from app.bootstrap import Services, open_services
from app.loop_lag import watched_loop
from app.settings import Settings, load_settings
from app.telemetry import configure_logging

DESCRIPTION = "Answers from your documents, streaming, with every sentence footnoted to the passage that supports it."


def create_app(settings: Settings | None = None, services: Services | None = None) -> FastAPI:
    """The ASGI application; without `services`, its lifespan opens and closes its own.

    Raises ConfigurationError when it would be open to others without a key.
    """
    from app.api.mcp.transports import mount as mount_mcp  # noqa: PLC0415 - half a second, which commands do not pay

    settings = settings or load_settings()
    settings.require_safe_listener()
    configure_logging(level=settings.log_level, json=settings.log_format == "json")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if services is not None:
            app.state.services = services
            async with watched_loop(), mcp.serving(services):
                yield
            return
        async with open_services(settings) as opened, watched_loop(), mcp.serving(opened):
            app.state.services = opened
            yield

    app = FastAPI(title="Footnote", version=__version__, description=DESCRIPTION, lifespan=lifespan)
    app.state.authenticator = Authenticator(settings.api_keys, settings.visitor_keys)
    problems.install(app)
    for room in (chat, runs, conversations, feedback, documents, uploads, operations):
        app.include_router(room.router)
    for dialect in (openai_chat, openai_responses, openai_models, ai_sdk, ag_ui):
        app.include_router(dialect.router)
    openapi.install(app)
    mcp = mount_mcp(app, app.state.authenticator)
    widget.mount(app)
    app.add_middleware(
        BodyLimit,
        max_bytes=settings.max_body_bytes,
        larger={"/v1/documents": (settings.max_file_bytes + FORM_BYTES, "FOOTNOTE_MAX_FILE_BYTES")},
    )
    if settings.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["*"],  # clients send their own; a key is needed all the same, and cookies are not taken
            expose_headers=["X-Run-Id", "Location", "Retry-After", "WWW-Authenticate", "x-should-retry"],
        )
    if not app.state.authenticator.required:
        app.add_middleware(HostGuard)
    app.add_middleware(Unwound)
    return app
