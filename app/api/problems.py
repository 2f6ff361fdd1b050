"""Problems: domain errors as `application/problem+json` (RFC 9457); the only place that knows status codes."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from app.domain import errors as e

log = structlog.get_logger()

STATUS: dict[type[e.FootnoteError], int] = {
    e.PayloadTooLarge: 413,
    e.InvalidInput: 422,
    e.NotFound: 404,
    e.Unauthenticated: 401,
    e.Conflict: 409,
    e.ConfigurationError: 500,
    e.Unavailable: 503,
    e.ProviderTimedOut: 504,
    e.ProviderError: 502,
    e.FootnoteError: 500,
}
MEDIA_TYPE = "application/problem+json"


class ProblemDetails(BaseModel):
    """What went wrong and what to do about it."""

    type: str = Field("about:blank", description="Always about:blank; `code` tells problems apart.")
    title: str = Field(examples=["There is no run with that id."])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no run with that id."])
    code: str = Field(examples=["run_not_found"])
    pointer: str | None = Field(
        None, description="For an invalid filter: where the fault stands in the body (JSON pointer, RFC 6901)."
    )
    errors: list[dict[str, Any]] | None = Field(
        None, description="For invalid input: each field and what is wrong with it."
    )


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": ProblemDetails, "content": {MEDIA_TYPE: {}}, "description": HTTPStatus(status).phrase}
    for status in (401, 404, 409, 413, 422, 503)
}


def status_of(error: e.FootnoteError) -> int:
    """The status code of the nearest class in the tree that has one."""
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


def problem_response(
    status: int,
    code: str,
    title: str,
    detail: str,
    errors: Sequence[dict[str, Any]] | None = None,
    pointer: str | None = None,
) -> JSONResponse:
    """One problem as a response."""
    body = ProblemDetails(
        title=title,
        status=status,
        detail=detail,
        code=code,
        pointer=pointer,
        errors=list(errors) if errors else None,
    )
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {"Retry-After": "2"} if status == 503 else None
    return JSONResponse(body.model_dump(exclude_none=True, mode="json"), status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every error, expected or not, with a problem."""

    @app.exception_handler(e.FootnoteError)
    async def footnote_error(_request: Request, error: e.FootnoteError) -> JSONResponse:
        status = status_of(error)
        if status >= 500:
            log.warning("request.failed", code=error.code, error=error.message, cause=str(error.__cause__ or ""))
        title = (type(error).__doc__ or error.code).strip()
        pointer = error.pointer if isinstance(error, e.InvalidFilter) else None
        return problem_response(status, error.code, title, error.message, pointer=pointer)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        found = [{"field": ".".join(map(str, x["loc"][1:])), "message": x["msg"]} for x in error.errors()]
        detail = "; ".join(f"{x['field'] or 'body'}: {x['message']}" for x in found)
        return problem_response(422, e.InvalidInput.code, "The request is not valid.", detail, found)

    @app.exception_handler(HTTPException)
    async def http(_request: Request, error: HTTPException) -> JSONResponse:
        phrase = HTTPStatus(error.status_code).phrase
        return problem_response(error.status_code, phrase.lower().replace(" ", "_"), phrase, str(error.detail))

    @app.exception_handler(Exception)
    async def unexpected(_request: Request, error: Exception) -> JSONResponse:
        log.error("request.crashed", exc_info=error)
        return problem_response(500, "internal_error", "Something went wrong.", "The server's log has more.")
