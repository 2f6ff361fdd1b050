"""OpenAPI: FastAPI's document of the API, with errors in the shape in which they are sent."""

from typing import Any

from fastapi import FastAPI

from app.api.problem_details import ERROR_SCHEMAS, ProblemDetails, error_content

_PROBLEM = {"$ref": f"#/components/schemas/{ProblemDetails.__name__}"}


def install(app: FastAPI) -> None:
    """Give each error the media type and the schema of its path; FastAPI gives it the media type of the answer."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            document["components"]["schemas"].update(ERROR_SCHEMAS)
            for path, operations in document["paths"].items():
                for operation in operations.values():
                    for response in operation["responses"].values():
                        media = response.get("content", {}).values()
                        if any(each.get("schema") == _PROBLEM for each in media):
                            response["content"] = error_content(path)
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]
