"""Problem details: one problem in the shape that the clients of a path understand."""

from typing import Any

from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import BaseModel, Field

from app.api.encoders.openai_chat import error_body
from app.domain.run import Problem

MEDIA_TYPE = "application/problem+json"
OPENAI_PATHS = ("/v1/chat/completions", "/v1/responses", "/v1/models", "/v1/embeddings")
AI_SDK_PATHS = ("/v1/ai-sdk",)


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


_TEXT_OR_NULL = {"anyOf": [{"type": "string"}, {"type": "null"}]}
ERROR_SCHEMAS: dict[str, Any] = {
    "OpenAIError": {
        "type": "object",
        "title": "OpenAIError",
        "description": "What went wrong, in the shape of OpenAI's API.",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["message", "type", "param", "code"],
                "properties": {
                    "message": {"type": "string"},
                    "type": {"enum": ["invalid_request_error", "rate_limit_error", "server_error"]},
                    "param": _TEXT_OR_NULL,
                    "code": {"type": "string"},
                },
            }
        },
    }
}


def rendered(problem: ProblemDetails, path: str, headers: dict[str, str] | None) -> Response:
    """OpenAI's clients get OpenAI's errors; the AI SDK shows the body, so it gets words; all others RFC 9457."""
    if _below(path, OPENAI_PATHS):
        return JSONResponse(_openai(problem), problem.status, headers)
    if _below(path, AI_SDK_PATHS):
        return PlainTextResponse(problem.detail, problem.status, headers)
    return JSONResponse(problem.model_dump(exclude_none=True, mode="json"), problem.status, headers, MEDIA_TYPE)


def error_content(path: str) -> dict[str, Any]:
    """The media type and the schema of what `rendered` gives for `path`, for the OpenAPI document."""
    if _below(path, OPENAI_PATHS):
        return {"application/json": {"schema": {"$ref": "#/components/schemas/OpenAIError"}}}
    if _below(path, AI_SDK_PATHS):
        return {"text/plain": {"schema": {"type": "string"}}}
    return {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}


def _below(path: str, roots: tuple[str, ...]) -> bool:
    return any(path == root or path.startswith(f"{root}/") for root in roots)


def _openai(problem: ProblemDetails) -> dict[str, Any]:
    kind = "rate_limit_error" if problem.status == 429 else "invalid_request_error"
    param = problem.errors[0].get("field") if problem.errors else problem.pointer
    return error_body(
        Problem(problem.code, problem.title, problem.detail),
        kind="server_error" if problem.status >= 500 else kind,
        param=param or None,
    )
