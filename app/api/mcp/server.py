"""MCP server: Footnote's tools and documents behind the official SDK, whatever the transport."""

import asyncio
import json
from inspect import cleandoc
from typing import Any

import mcp_types as types
import structlog
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.shared.exceptions import MCPError

from app import __version__
from app.api.auth import Authenticator
from app.api.mcp.tools import TOOLS, call
from app.api.text import MAX_INTEGER
from app.bootstrap import Services
from app.domain.errors import DocumentNotFound, FootnoteError, InvalidInput
from app.domain.principal import Principal

log = structlog.get_logger()

PAGE = 100
CURSOR_DIGITS = len(str(MAX_INTEGER)) - 1
URI = "footnote://documents/"
INSTRUCTIONS = (
    "Footnote answers from a body of documents. Use `ask` for an answer with footnotes, `search` and `fetch` to read "
    "the documents yourself."
)


class McpServer:
    """Answers MCP requests from the services."""

    def __init__(self, services: Services, authenticator: Authenticator) -> None:
        self._services = services
        self._authenticator = authenticator
        self.server: Server[Any] = Server(
            "footnote",
            version=__version__,
            title="Footnote",
            instructions=INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resources=self._list_resources,
            on_list_resource_templates=self._list_templates,
            on_read_resource=self._read_resource,
        )

    def _principal(self, context: ServerRequestContext[Any, Any]) -> Principal:
        """Who is asking: over HTTP as everywhere, over standard input whoever started the command."""
        request = context.request
        if request is None:
            return Principal()
        return self._authenticator.authenticate(request.headers.get("authorization"))

    async def _list_tools(
        self, _context: ServerRequestContext[Any, Any], _params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(
            tools=[
                types.Tool(
                    name=name,
                    description=cleandoc(takes.__doc__ or ""),
                    input_schema=takes.model_json_schema(),
                    annotations=types.ToolAnnotations(read_only_hint=name != "ask", open_world_hint=False),
                )
                for name, takes in TOOLS.items()
            ]
        )

    async def _call_tool(
        self, context: ServerRequestContext[Any, Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        async def progress(characters: float, message: str | None) -> None:
            await context.session.report_progress(characters, None, message)

        with _protocol_errors():
            try:
                result = await call(
                    self._services, self._principal(context), params.name, params.arguments or {}, progress
                )
            except FootnoteError as error:
                return types.CallToolResult(content=[types.TextContent(type="text", text=error.message)], is_error=True)
        text = json.dumps(result, ensure_ascii=False)
        return types.CallToolResult(content=[types.TextContent(type="text", text=text)], structured_content=result)

    async def _list_resources(
        self, context: ServerRequestContext[Any, Any], params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        cursor = (params.cursor if params else None) or "0"
        if not cursor.isdecimal() or len(cursor) > CURSOR_DIGITS:
            raise MCPError(code=types.INVALID_PARAMS, message=f"There is no page {cursor!r}; leave the cursor out.")
        offset, workspace_id = int(cursor), self._principal(context).workspace_id
        with _protocol_errors():
            found = await self._services.documents.page(workspace_id, None, limit=PAGE + 1, offset=offset)
        return types.ListResourcesResult(
            resources=[
                types.Resource(
                    name=document.uri,
                    title=document.title,
                    uri=f"{URI}{document.id}",
                    description=f"in the collection {document.collection}",
                    mime_type="text/plain",
                )
                for document in found[:PAGE]
            ],
            next_cursor=str(offset + PAGE) if len(found) > PAGE else None,
        )

    async def _list_templates(
        self, _context: ServerRequestContext[Any, Any], _params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        template = types.ResourceTemplate(
            name="document", uri_template=URI + "{id}", description="A document's text.", mime_type="text/plain"
        )
        return types.ListResourceTemplatesResult(resource_templates=[template])

    async def _read_resource(
        self, context: ServerRequestContext[Any, Any], params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        uri = str(params.uri)

        async def progress(_characters: float, _message: str | None) -> None:
            await asyncio.sleep(0)

        with _protocol_errors():
            if not uri.startswith(URI):
                raise InvalidInput(f"There is nothing at {uri!r}; documents are at {URI}ID.")
            document = await call(
                self._services, self._principal(context), "fetch", {"id": uri.removeprefix(URI)}, progress
            )
        return types.ReadResourceResult(
            contents=[types.TextResourceContents(uri=uri, mime_type="text/plain", text=document["text"])]
        )


class _protocol_errors:  # noqa: N801 - used as a context manager
    """Turns our errors into those of the protocol; what nobody expected is logged, and not told."""

    def __enter__(self) -> None: ...

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, MCPError):
            return
        if isinstance(error, DocumentNotFound | InvalidInput):
            raise MCPError(code=types.INVALID_PARAMS, message=error.message) from error
        if isinstance(error, FootnoteError):
            raise MCPError(code=types.INTERNAL_ERROR, message=error.message) from error
        if isinstance(error, Exception):
            log.error("mcp.crashed", exc_info=error)
            raise MCPError(code=types.INTERNAL_ERROR, message="The server's log has more.") from error
