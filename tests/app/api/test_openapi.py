"""The OpenAPI document against the API: what an operation answers is what the document says that it answers."""

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest
from jsonschema import Draft202012Validator

QUESTION = "When does the ferry to Holm Island leave?"
BODIES: dict[str, Any] = {
    "/v1/chat": {"message": QUESTION},
    "/v1/search": {"query": QUESTION},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": QUESTION}]},
    "/v1/responses": {"input": QUESTION},
    "/v1/embeddings": {"input": QUESTION},
    "/v1/ai-sdk/chat": {"id": "a", "messages": [{"id": "1", "role": "user", "parts": [{"type": "text", "text": "a"}]}]},
    "/v1/ag-ui": {"threadId": "a", "runId": "a", "messages": [{"id": "1", "role": "user", "content": QUESTION}]},
}


async def answers(client: httpx.AsyncClient, method: str, path: str) -> list[httpx.Response]:
    """To ids that are none, ids of nothing, bodies that are none, and to a good request where there is one."""
    headers = {"content-type": "application/json"}
    named = [path.replace("{", "").replace("}", "")]
    if "{" in path:
        named.append("/".join(str(uuid4()) if part.startswith("{") else part for part in path.split("/")))
    if method == "get":
        return [await client.get(name, params=query) for name in named for query in ({}, {"limit": 0})]
    if method == "delete":
        return [await client.delete(name) for name in named]
    bodies = [b"{", b"[]", b"{}", b"[" * 100_000, json.dumps(BODIES.get(path, {"rating": "up"})).encode()]
    return [await client.request(method, name, content=body, headers=headers) for name in named for body in bodies]


@pytest.mark.usefixtures("corpus")
async def test_every_operation_answers_as_the_document_says(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    seen = set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for response in await answers(client, method, path):
                asked = f"{method} {response.request.url.path}: {response.status_code}"
                described = operation["responses"].get(str(response.status_code))
                assert described is not None, asked
                seen.add(response.status_code)
                media = response.headers.get("content-type", "").partition(";")[0]
                assert media in described["content"] if response.content else "content" not in described, asked
                if response.content and media.endswith("json"):
                    schema = {**described["content"][media]["schema"], "components": document["components"]}
                    Draft202012Validator(schema).validate(response.json())
    assert seen >= {200, 204, 400, 404, 422}
    assert "HTTPValidationError" not in json.dumps(document["paths"])
