"""Problems: domain errors as `application/problem+json` (RFC 9457); the only place that knows status codes."""

from collections.abc import Mapping, Sequence
from functools import cache
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount

from app.api.problem_details import ProblemDetails, rendered
from app.domain import errors as e
from app.domain.run import Problem

log = structlog.get_logger()

STATUS: dict[type[e.FootnoteError], int] = {
    e.PayloadTooLarge: 413,
    e.InvalidInput: 422,
    e.NotFound: 404,
    e.Unauthenticated: 401,
    e.Forbidden: 403,
    e.ClientGone: 499,  # which nobody reads
    e.Conflict: 409,
    e.TooManyRequests: 429,
    e.ConfigurationError: 500,
    e.Unavailable: 503,
    e.ProviderTimedOut: 504,
    e.ProviderError: 502,
    e.FootnoteError: 500,
}
# The codes of what ends a run, beside those of the errors.
RUN_STATUS = {"run_timed_out": 504, "interrupted": 503}

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": ProblemDetails, "description": HTTPStatus(status).phrase}
    for status in (400, 401, 403, 404, 409, 413, 422, 429, 502, 503, 504)
}


def status_of(error: type[e.FootnoteError]) -> int:
    """The status code of the nearest class in the tree that has one."""
    return next(STATUS[cls] for cls in error.__mro__ if cls in STATUS)


def problem_response(
    status: int,
    code: str,
    title: str,
    detail: str,
    errors: Sequence[dict[str, Any]] | None = None,
    pointer: str | None = None,
    path: str = "",
    retry_after_s: int = 2,
) -> Response:
    """One problem as a response to a request of `path`; `retry_after_s` is told with 429 and 503."""
    body = ProblemDetails(
        title=title,
        status=status,
        detail=detail,
        code=code,
        pointer=pointer,
        errors=list(errors) if errors else None,
    )
    headers = None
    if status == 401:
        headers = {"WWW-Authenticate": "Bearer"}
    elif status in {429, 503}:
        headers = {"Retry-After": str(retry_after_s)}
    return rendered(body, path, headers)


def run_problem_response(problem: Problem, path: str) -> Response:
    """How a run failed, for a client that waited for its end. Asking again at once would not help: it was tried."""
    status = RUN_STATUS.get(problem.code) or _statuses_by_code().get(problem.code, 500)
    response = problem_response(status, problem.code, problem.title, problem.detail, path=path)
    response.headers["x-should-retry"] = "false"
    return response


def _fault(error: Mapping[str, Any]) -> dict[str, Any]:
    """One fault of the input: its field, and what is wrong with it."""
    field = ".".join(map(str, error["loc"][1:]))
    if error["type"] == "json_invalid":  # whose place is a character, not a field
        return {"field": "", "message": f"this is no JSON: {error['ctx']['error']} at character {field}"}
    if error["type"] == "model_attributes_type" and not field:
        return {"field": "", "message": "send a JSON object, with the header Content-Type: application/json"}
    if field == "file" and error["type"] in {"missing", "value_error"}:  # not there, or a field without a file name
        return {"field": field, "message": "send a file, as multipart/form-data: curl -F file=@PATH"}
    if error["type"] in {"too_short", "too_long"} and isinstance(error["input"], str):  # a text that was checked before
        limit = error["ctx"].get("max_length", error["ctx"].get("min_length"))
        than = "most" if error["type"] == "too_long" else "least"
        return {"field": field, "message": f"the text should have at {than} {limit} characters"}
    return {"field": field, "message": error["msg"].removeprefix("Value error, ")}


def _unreadable(cause: BaseException | None) -> str | None:
    """Why a body could not be read as JSON, where FastAPI says no more than that it could not."""
    match cause:
        case UnicodeDecodeError():
            return "body: it is not in UTF-8, as JSON has to be."
        case RecursionError():
            return "body: there are too many objects and lists in one another."
        case ValueError():  # from Python's own limit
            return "body: a number has too many digits."
    return None


def _allowed(request: Request) -> list[str]:
    """The methods of a path; Starlette tells those of the first of its routes alone."""
    routes = [route for route in request.app.routes if not isinstance(route, Mount)]
    return [
        method
        for method in METHODS
        if any(route.matches(dict(request.scope, method=method))[0] is Match.FULL for route in routes)
    ]


@cache
def _statuses_by_code() -> dict[str, int]:
    """The status of every error's code."""
    found, classes = dict[str, int](), [e.FootnoteError]
    while classes:
        cls = classes.pop()
        found[cls.code] = status_of(cls)
        classes += cls.__subclasses__()
    return found


def install(app: FastAPI) -> None:
    """Answer every error, expected or not, with a problem."""

    @app.exception_handler(e.FootnoteError)
    async def footnote_error(request: Request, error: e.FootnoteError) -> Response:
        status = status_of(type(error))
        if status >= 500:
            log.warning("request.failed", code=error.code, error=error.message, cause=str(error.__cause__ or ""))
        title = (type(error).__doc__ or error.code).strip()
        pointer = error.pointer if isinstance(error, e.InvalidFilter) else None
        wait_s = error.retry_after_s if isinstance(error, e.TooManyRequests) else 2
        return problem_response(
            status, error.code, title, error.message, pointer=pointer, path=request.scope["path"], retry_after_s=wait_s
        )

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        found = [_fault(x) for x in error.errors()]
        detail = "; ".join(f"{x['field'] or 'body'}: {x['message']}" for x in found)
        return problem_response(
            422, e.InvalidInput.code, "The request is not valid.", detail, found, path=request.scope["path"]
        )

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        phrase = HTTPStatus(error.status_code).phrase
        detail = _unreadable(error.__cause__) or str(error.detail)
        response = problem_response(
            error.status_code, phrase.lower().replace(" ", "_"), phrase, detail, path=request.scope["path"]
        )
        response.headers.update(error.headers or {})
        if error.status_code == 405:
            response.headers["Allow"] = ", ".join(_allowed(request))
        return response

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        log.error("request.crashed", exc_info=error)
        return problem_response(
            500, "internal_error", "Something went wrong.", "The server's log has more.", path=request.scope["path"]
        )
