"""Limits of what one key may ask for: 429 with the time to wait, in the shape of each client."""

import asyncio
from collections.abc import Callable

import httpx
import pytest
from pydantic import SecretStr

from app.domain.errors import TooManyRequests
from app.domain.principal import Principal
from app.settings import Settings
from app.storage.rate_limit import RateLimit
from tests.fixtures.server import Server, chat

KEYS = ("0123456789abcdef", "fedcba9876543210")


def bearing(server: Server, key: str) -> httpx.AsyncClient:
    return server.client(headers={"Authorization": f"Bearer {key}"})


async def test_a_key_that_asks_too_often_is_told_when_to_try_again(
    settings: Settings, serve: Callable[[Settings], Server]
) -> None:
    keys = tuple(map(SecretStr, KEYS))
    server = serve(settings.model_copy(update={"api_keys": keys, "runs_per_minute": 2}))
    async with bearing(server, KEYS[0]) as client, bearing(server, KEYS[1]) as other:
        for _ in range(2):
            assert (await chat(client, "Why?"))[-1].type == "run.completed"
        refused = await client.post("/v1/chat", json={"message": "Why?"})
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        body = {"model": "footnote", "messages": [{"role": "user", "content": "Why?"}]}
        openai = await client.post("/v1/chat/completions", json=body)
        assert (openai.status_code, openai.json()["error"]["type"]) == (429, "rate_limit_error")
        assert "Retry-After" in openai.headers
        assert (await chat(other, "Why?"))[-1].type == "run.completed"


@pytest.mark.usefixtures("corpus")
async def test_answers_at_once_are_limited_until_one_ends(
    settings: Settings, serve: Callable[[Settings], Server]
) -> None:
    slowly = {"scripted_tokens_per_s": 50}  # the first answer is still being written when the second is asked for
    server = serve(settings.model_copy(update={"runs_at_once": 1} | slowly))
    async with server.client() as client:
        async with client.stream("POST", "/v1/chat", json={"message": "Why? [[tokens=1000]]"}) as first:
            assert first.status_code == 200
            run_id = first.headers["X-Run-Id"]
            refused = await client.post("/v1/chat", json={"message": "Why?"})
            await client.post(f"/v1/runs/{run_id}/cancel")
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_runs")
        assert "Retry-After" in refused.headers
        assert (await chat(client, "Why?"))[-1].type == "run.completed"


@pytest.mark.usefixtures("corpus")
@pytest.mark.parametrize("limits", [{}, {"runs_written": 1}])
async def test_answers_asked_for_at_the_same_moment_are_counted_on_all_workers(
    settings: Settings, serve: Callable[[Settings], Server], limits: dict[str, int]
) -> None:
    """Those that wait for their place are counted too."""
    several = settings.model_copy(update={"runs_at_once": 2, "scripted_tokens_per_s": 20, **limits})
    async with serve(several).client() as one, serve(several).client() as other:
        body = {"message": "When does the ferry to Holm Island leave? [[tokens=30]]"}
        asked = [client.post("/v1/chat", json=body) for client in (one, other) for _ in range(5)]
        statuses = [response.status_code for response in await asyncio.gather(*asked)]
        assert sorted(statuses) == [200] * 2 + [429] * 8


@pytest.mark.usefixtures("corpus")
async def test_what_is_refused_for_others_under_way_does_not_count_for_the_minute(
    settings: Settings, serve: Callable[[Settings], Server]
) -> None:
    server = serve(settings.model_copy(update={"runs_at_once": 1, "runs_per_minute": 2, "scripted_tokens_per_s": 20}))
    question = {"message": "When does the ferry to Holm Island leave? [[tokens=200]]"}
    async with server.client() as client:
        async with client.stream("POST", "/v1/chat", json=question) as first:
            for _ in range(3):
                assert (await client.post("/v1/chat", json=question)).json()["code"] == "too_many_runs"
            await client.post(f"/v1/runs/{first.headers['X-Run-Id']}/cancel")
        assert (await chat(client, "Why?"))[-1].type == "run.completed"


async def test_the_count_is_shared_and_without_redis_everyone_is_admitted(settings: Settings) -> None:
    assert settings.redis_url is not None
    url = settings.redis_url.get_secret_value()
    limits = [RateLimit(url, per_minute=3), RateLimit(url, per_minute=3)]
    outcomes = await asyncio.gather(
        *(limit.admit(Principal(name="shared")) for limit in limits for _ in range(4)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes].count(TooManyRequests) == 5
    gone = RateLimit("redis://127.0.0.1:9", per_minute=1)
    for _ in range(3):
        await gone.admit(Principal())
    for limit in [*limits, gone]:
        await limit.close()
