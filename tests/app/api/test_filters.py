"""Filters over HTTP: what they keep, and how a wrong one is answered."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from ingestion.pipeline import Report
from tests.fixtures.server import chat


@pytest.fixture(autouse=True)
def sledges_and_boats(ingest: Callable[..., Report], tmp_path: Path) -> None:
    for name, front in {
        "sledges": "season: winter\nyear: 2021\nlang: en",
        "boats": "season: summer\nyear: 2023\nlang: en\nauthor: O'Neil %(f0)s",
        "swings": "season: summer\nyear: 2024\nlang: de",
    }.items():
        text = f"---\n{front}\n---\n# {name.title()}\n\nThe {name} stand on the hill.\n"
        (tmp_path / f"{name}.md").write_text(text)
    assert ingest(tmp_path).failures == []


async def titles(client: httpx.AsyncClient, wire: Any, **body: Any) -> set[str]:
    response = await client.post("/v1/search", json={"query": "what stands on the hill", "filter": wire, **body})
    assert response.status_code == 200, response.text
    return {passage["title"] for passage in response.json()["passages"]}


@pytest.mark.parametrize(
    ("wire", "wanted"),
    [
        (None, {"Sledges", "Boats", "Swings"}),
        ({}, {"Sledges", "Boats", "Swings"}),
        ({"season": "summer"}, {"Boats", "Swings"}),
        ({"season": "summer", "lang": {"$ne": "de"}}, {"Boats"}),
        ({"year": {"$gte": 2021, "$lt": 2024}}, {"Sledges", "Boats"}),
        ({"year": {"$in": [2021, 2024]}}, {"Sledges", "Swings"}),
        ({"author": {"$exists": False}}, {"Sledges", "Swings"}),
        ({"author": "O'Neil %(f0)s"}, {"Boats"}),
        ({"author": "' OR true --"}, set()),
        ({"$or": [{"season": "winter"}, {"$not": {"lang": "en"}}]}, {"Sledges", "Swings"}),
        ({"title": {"$in": ["Boats", "Sledges"]}, "media_type": "text/markdown"}, {"Boats", "Sledges"}),
        ({"page": {"$exists": True}}, set()),
    ],
)
async def test_a_filter_keeps_what_it_says(client: httpx.AsyncClient, wire: Any, wanted: set[str]) -> None:
    for leg in ("hybrid", "dense", "lexical"):
        assert await titles(client, wire, leg=leg) == wanted


async def test_an_answer_rests_on_what_the_filter_keeps(client: httpx.AsyncClient) -> None:
    events = await chat(client, "What stands on the hill?", filter={"season": "winter"})
    assert {passage["title"] for passage in events[1].data["passages"]} == {"Sledges"}
    assert events[-1].type == "run.completed"


async def test_one_document_by_its_id_and_its_uri(client: httpx.AsyncClient) -> None:
    documents = (await client.get("/v1/documents")).json()["documents"]
    boats = next(document for document in documents if document["title"] == "Boats")
    assert await titles(client, {"document_id": boats["id"]}) == {"Boats"}
    assert await titles(client, {"source_uri": boats["uri"]}) == {"Boats"}
    assert await titles(client, {"document_id": {"$ne": boats["id"]}}) == {"Sledges", "Swings"}


@pytest.mark.parametrize(
    ("wire", "pointer", "says"),
    [
        ([], "/filter", "expected an object of conditions"),
        ({"season": {"$regex": ".*"}}, "/filter/season", "a field takes $eq"),
        ({"season": {"$gte": [1]}}, "/filter/season/$gte", "expected a string, a number"),
        ({"$or": [{"season": "x"}, {"saeson": "x"}]}, "/filter/$or/1/saeson", "did you mean 'season'?"),
        ({"year": {"$lt": "2024"}}, "/filter/year/$lt", "never holds strings; it holds numbers"),
        ({"season": "\x00"}, "/filter/season", "U+0000"),
    ],
)
async def test_a_wrong_filter_is_answered_with_its_place(
    client: httpx.AsyncClient, wire: Any, pointer: str, says: str
) -> None:
    for path, question in (("/v1/search", {"query": "hill"}), ("/v1/chat", {"message": "hill"})):
        response = await client.post(path, json={**question, "filter": wire})
        assert response.status_code == 422
        assert response.headers["content-type"] == "application/problem+json"
        problem = response.json()
        assert (problem["code"], problem["pointer"]) == ("invalid_filter", pointer)
        assert problem["title"] == "The filter is not valid."
        assert says in problem["detail"]
    assert (await client.get("/v1/conversations")).json()["conversations"] == [], "nothing was begun"


@pytest.mark.parametrize(
    ("text", "status", "pointer"),
    [
        ('{"season": NaN}', 422, "/filter/season"),
        ('{"season": 1e999}', 422, "/filter/season"),
        ('{"season": "\\ud800"}', 422, "/filter/season"),
        ('{"\\ud800": 1}', 422, "/filter"),
        ('{"season": ' + "9" * 400 + "}", 422, "/filter/season"),
        ('{"season": ' + "9" * 5000 + "}", 400, None),
        ('{"$not": ' * 400 + "{}" + "}" * 400, 422, "/filter" + "/$not" * 9),
        ('{"a": ' * 20_000 + "1" + "}" * 20_000, 400, None),
    ],
)
async def test_json_at_its_edges(client: httpx.AsyncClient, text: str, status: int, pointer: str | None) -> None:
    response = await client.post(
        "/v1/search",
        content=f'{{"query": "hill", "filter": {text}}}',
        headers={"Content-Type": "application/json"},
    )
    assert response.status_code == status, response.text[:500]
    assert response.json().get("pointer") == pointer


async def test_a_field_can_be_filtered_by_as_soon_as_a_document_has_it(
    client: httpx.AsyncClient, ingest: Callable[..., Report], tmp_path: Path
) -> None:
    body = {"query": "hill", "filter": {"colour": "red"}}
    assert (await client.post("/v1/search", json=body)).status_code == 422
    (tmp_path / "kites.md").write_text("---\ncolour: red\n---\n# Kites\n\nKites fly over the hill.\n")
    await asyncio.to_thread(ingest, tmp_path / "kites.md")
    assert await titles(client, {"colour": "red"}) == {"Kites"}


async def test_openapi_names_the_operators_and_the_built_in_fields(client: httpx.AsyncClient) -> None:
    schemas = (await client.get("/openapi.json")).json()["components"]["schemas"]
    for name in ("ChatRequest", "SearchBody"):
        described = schemas[name]["properties"]["filter"]["description"]
        assert "$nin" in described
        assert "source_uri" in described
    assert "pointer" in schemas["ProblemDetails"]["properties"]
