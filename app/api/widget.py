"""Widget: the demo page and the modules that any page can embed."""

from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

router = APIRouter(include_in_schema=False)

FILES = Path(__file__).resolve().parent.parent / "widget"
# What a model or a document says is data: nothing of it may run, load or leave.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
PAGE_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class _Modules(StaticFiles):
    """Static files that a page of another origin may load (`<script type="module">` needs CORS)."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(
            {"Access-Control-Allow-Origin": "*", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
        )
        return response


@router.head("/")
@router.get("/")
async def page() -> FileResponse:
    """The demo page."""
    return FileResponse(FILES / "index.html", headers=PAGE_HEADERS)


def mount(app: FastAPI) -> None:
    """Serve the page at `/` and the modules under `/widget/`."""
    app.include_router(router)
    app.mount("/widget", _Modules(directory=FILES / "static"), name="widget")
