"""MCP transports: streamable HTTP at /mcp, and standard input and output."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from app.api.auth import Authenticator
from app.api.mcp.server import McpServer
from app.api.problems import problem_response, status_of
from app.bootstrap import Services
from app.domain.errors import Forbidden, Unauthenticated

PATH = "/mcp"


class McpEndpoint:
    """The ASGI application at /mcp; it answers while `serving`.

    Each request stands for itself, so that any worker can answer it.
    """

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._manager: StreamableHTTPSessionManager | None = None

    @asynccontextmanager
    async def serving(self, services: Services) -> AsyncIterator[None]:
        """Answer from these services until the block ends."""
        server = McpServer(services, self._authenticator).server
        self._manager = StreamableHTTPSessionManager(
            server, stateless=True, max_request_body_size=services.settings.max_body_bytes
        )
        async with self._manager.run():
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request of a client that may ask."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        try:
            self._authenticator.authenticate(headers.get(b"authorization"))
        except (Unauthenticated, Forbidden) as error:
            title = "The key is missing or wrong." if isinstance(error, Unauthenticated) else "This key may only ask."
            response = problem_response(status_of(type(error)), error.code, title, error.message, path=PATH)
            await response(scope, receive, send)
            return
        assert self._manager is not None  # noqa: S101 - requests come while the application's lifespan runs
        await self._manager.handle_request(scope, receive, send)


def mount(app: FastAPI, authenticator: Authenticator) -> McpEndpoint:
    """Answer at /mcp; whoever runs the application enters `serving`."""
    endpoint = McpEndpoint(authenticator)
    app.router.routes.append(Route(PATH, endpoint=endpoint, include_in_schema=False))
    return endpoint


async def serve_stdio(services: Services) -> None:
    """Answer on standard input and output until the input ends; nothing else may write to the output."""
    server = McpServer(services, Authenticator(())).server
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())
