"""Embedders: the choice, the local one's manners, the remote one's failures."""

import asyncio
import time

import pytest

from app.domain.errors import (
    ConfigurationError,
    MissingKey,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
    UnknownModel,
)
from app.providers.embedder import make_embedder
from app.providers.fakes import HashEmbedder
from app.providers.input_types import known_input_types
from app.providers.local_embedder import LocalEmbedder
from app.settings import Settings, load_settings
from tests.fixtures.openai_server import FakeUpstream, fake_upstream


def openai_at(upstream: FakeUpstream, **settings: object) -> Settings:
    return Settings.model_validate({"embedder": "openai:m", "embedder_base_url": upstream.base_url, **settings})


@pytest.mark.parametrize("name", ["", "openai:", "cohere:m", "all-MiniLM-L6-v2"])
def test_unknown_names_are_explained(name: str) -> None:
    with pytest.raises(UnknownModel, match=r"FOOTNOTE_EMBEDDER.*`openai:text-embedding-3-small`"):
        make_embedder(Settings(embedder=name))


def test_a_missing_key_is_named() -> None:
    with pytest.raises(MissingKey, match="OPENAI_API_KEY"):
        make_embedder(Settings(embedder="openai:text-embedding-3-small"))


def test_the_scripted_one_has_the_dimensions_asked_for() -> None:
    embedder = make_embedder(Settings(embedder="scripted", embedder_dimensions=16))
    assert isinstance(embedder, HashEmbedder)
    assert embedder.dimensions == 16


async def test_the_local_one_loads_in_the_background() -> None:
    started = time.monotonic()
    embedder = make_embedder(Settings(embedder="local"))
    assert isinstance(embedder, LocalEmbedder)
    made = time.monotonic()
    await embedder.ready()
    assert made - started < time.monotonic() - made, "nothing was waited for"
    assert (embedder.name, embedder.dimensions) == ("local:all-MiniLM-L6-v2-int8", 384)
    await embedder.close()


async def test_the_local_one_knows_meanings() -> None:
    embedder = make_embedder(Settings(embedder="local"))
    passages = await embedder.embed_passages(["The cat sleeps on the sofa.", "Interest rates rose again."])
    question = await embedder.embed_query("Where is the kitten napping?")
    near, far = passages @ question[0]
    assert near > far + 0.3
    await embedder.close()


async def test_the_local_one_finds_a_questions_words_in_a_text() -> None:
    embedder = LocalEmbedder(threads=2)
    near, far, nothing = await embedder.nearest_tokens(
        "Where is the kitten napping?", ["The kitten is napping on the sofa.", "Interest rates rose again.", ""]
    )
    assert near.shape == far.shape == nothing.shape
    assert near.mean() > far.mean() + 0.2
    assert near.max() <= 1.0 + 1e-5
    assert not nothing.any()
    (without_words,) = await embedder.nearest_tokens("", ["The kitten is napping."])
    assert without_words.tolist() == [0.0]
    await embedder.close()


async def test_a_question_does_not_wait_for_an_ingestion() -> None:
    embedder = make_embedder(Settings(embedder="local", embedder_threads=1))
    await embedder.embed_query("warm")
    ingestion = asyncio.create_task(embedder.embed_passages(["The river rose and the mill stood still. " * 20] * 200))
    await asyncio.sleep(0.05)
    await embedder.embed_query("How high did the river rise?")
    assert not ingestion.done()
    ingestion.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ingestion
    await embedder.close()


async def test_openai_is_asked_in_batches_and_for_dimensions_only_when_set() -> None:
    with fake_upstream() as upstream:
        embedder = make_embedder(openai_at(upstream, embedder_dimensions=8))
        assert upstream.requests == []  # configured dimensions need no asking
        for texts, requests in ((500, [20, 96, 96, 96, 96, 96]), (64, [16, 16, 16, 16]), (18, [2, 16])):
            upstream.requests.clear()
            vectors = await embedder.embed_passages([f"text {n}" for n in range(texts)])
            assert vectors.shape == (texts, 8)
            assert sorted(len(request["input"]) for request in upstream.requests) == requests
            assert {request["dimensions"] for request in upstream.requests} == {8}
        await embedder.close()


async def test_unknown_dimensions_are_asked_for_once() -> None:
    with fake_upstream(embedding_dimensions=24) as upstream:
        embedder = make_embedder(openai_at(upstream))
        assert embedder.dimensions == 24
        assert len(upstream.requests) == 1
        assert "dimensions" not in upstream.requests[0]
        await embedder.close()


async def test_known_models_need_no_asking() -> None:
    with fake_upstream() as upstream:
        embedder = make_embedder(openai_at(upstream, embedder="openai:text-embedding-3-large"))
        assert (embedder.dimensions, embedder.name) == (3072, "openai:text-embedding-3-large")
        assert upstream.requests == []
        await embedder.close()


async def test_vectors_of_another_length_are_refused() -> None:
    with fake_upstream(embedding_dimensions=24) as upstream:
        embedder = make_embedder(openai_at(upstream))
        upstream.script.embedding_dimensions = 25
        with pytest.raises(ProviderRejected, match="FOOTNOTE_EMBEDDER_DIMENSIONS"):
            await embedder.embed_query("x")
        await embedder.close()


async def test_missing_vectors_are_noticed() -> None:
    with fake_upstream() as upstream:
        embedder = make_embedder(openai_at(upstream))
        upstream.script.embeddings_missing = 1
        with pytest.raises(ProviderRejected, match="2 vectors for 3 texts"):
            await embedder.embed_passages(["a", "b", "c"])
        await embedder.close()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("<!doctype html><title>Sign in</title>", "Sign in.*FOOTNOTE_EMBEDDER and its base URL"),
        ('{"error": "Unexpected endpoint or method."}', "Unexpected endpoint.*/v1"),
        ('{"data": null}', "base URL"),
        ("[[1, 0], [0, 1]]", "base URL"),
        ('{"data": [{"index": 0, "embedding": [1, 0]}, {"index": 1, "embed', "base URL"),
        ("", "sent something else than an answer"),
        ('{"data": []}', "0 vectors for 2 texts"),
        ('{"data": [{"embedding": [1, 0]}, {"embedding": [1]}]}', "something else"),
        ('{"data": [{"embedding": [1, 0]}, {"embedding": null}]}', "something else"),
        ('{"data": [{"embedding": [1, 0]}, {"embedding": [null, 1]}]}', "something else"),
        ('{"data": [{"embedding": "AACAPwAAAAA="}, {"embedding": "no base64"}]}', "something else"),
        ('{"data": [{"embedding": "AACAPwAAAAA="}, {"embedding": "AACAPwAAwH8="}]}', "NaN"),
        ('{"data": [{"embedding": [1, 0]}, {"embedding": [NaN, 1]}]}', "something else"),
    ],
)
async def test_what_is_no_answer_is_told(body: str, says: str) -> None:
    with fake_upstream(body=body) as upstream:
        embedder = make_embedder(openai_at(upstream, embedder_dimensions=2))
        with pytest.raises(ProviderError, match=says):
            await embedder.embed_passages(["a", "b"])
        await embedder.close()
        with pytest.raises(ProviderError, match=r"something|vectors"):
            make_embedder(openai_at(upstream))


async def test_an_order_or_a_use_that_is_not_told_is_no_fault() -> None:
    with fake_upstream(body='{"data": [{"embedding": [2, 0]}, {"embedding": [0, 3]}], "usage": {}}') as upstream:
        embedder = make_embedder(openai_at(upstream, embedder_dimensions=2))
        assert (await embedder.embed_passages(["a", "b"])).tolist() == [[1, 0], [0, 1]]
        await embedder.close()


@pytest.mark.parametrize(
    ("status", "kind", "hint"),
    [
        (401, ProviderRejected, "OPENAI_API_KEY"),
        (404, ProviderRejected, "FOOTNOTE_EMBEDDER"),
        (503, ProviderUnavailable, "try again"),
    ],
)
async def test_failures_say_what_to_do(status: int, kind: type[ProviderError], hint: str) -> None:
    with fake_upstream() as upstream:
        embedder = make_embedder(openai_at(upstream))
        upstream.script.status = status
        with pytest.raises(kind, match=hint):
            await embedder.embed_passages(["a"])
        await embedder.close()


def test_nobody_there_when_dimensions_must_be_asked_for() -> None:
    with fake_upstream() as upstream:
        settings = openai_at(upstream)
    with pytest.raises(ProviderUnavailable, match="Cannot reach"):
        make_embedder(settings)


@pytest.mark.parametrize(
    ("model", "query", "passage"),
    [
        ("text-embedding-3-small", "", ""),
        ("intfloat/multilingual-e5-large", "query: ", "passage: "),
        ("e5-small-v2", "query: ", "passage: "),
        ("intfloat/multilingual-e5-large-instruct", "Instruct: ", ""),
        ("intfloat/e5-mistral-7b-instruct", "Instruct: ", ""),
        ("Qwen/Qwen3-Embedding-0.6B", "Instruct: ", ""),
        ("qwen3-embedding:8b", "Instruct: ", ""),
        ("nomic-embed-text:latest", "search_query: ", "search_document: "),
        ("nomic-ai/nomic-embed-text-v2-moe", "search_query: ", "search_document: "),
        ("embeddinggemma", "task: search result | query: ", "title: none | text: "),
        ("BAAI/bge-base-en-v1.5", "Represent this sentence", ""),
        ("bge-large", "Represent this sentence", ""),
        ("BAAI/bge-large-zh-v1.5", "", ""),
        ("bge-m3", "", ""),
        ("mxbai-embed-large", "Represent this sentence", ""),
        ("Snowflake/snowflake-arctic-embed-m-v1.5", "Represent this sentence", ""),
        ("Snowflake/snowflake-arctic-embed-l-v2.0", "query: ", ""),
        ("snowflake-arctic-embed2", "query: ", ""),
    ],
)
def test_what_a_model_wants_is_known_by_its_name(model: str, query: str, passage: str) -> None:
    types = known_input_types(model)
    assert types.query.prefix.startswith(query)
    assert bool(types.query.prefix) == bool(query)
    assert types.passage.prefix == passage


@pytest.mark.parametrize(
    ("model", "field", "query", "passage"),
    [
        ("voyage-3.5-lite", "input_type", "query", "document"),
        ("jina-embeddings-v4", "task", "retrieval.query", "retrieval.passage"),
        ("nvidia/llama-3.2-nv-embedqa-1b-v2", "input_type", "query", "passage"),
    ],
)
async def test_an_endpoint_that_wants_it_as_a_field_gets_it(model: str, field: str, query: str, passage: str) -> None:
    with fake_upstream() as upstream:
        embedder = make_embedder(openai_at(upstream, embedder=f"openai:{model}"))
        await embedder.embed_query("Why?")
        await embedder.embed_passages(["Because."])
        assert [request[field] for request in upstream.requests] == [query, query, passage], "the first asks how long"
        assert [request["input"] for request in upstream.requests[1:]] == [["Why?"], ["Because."]]
        assert embedder.name == f"openai:{model}+{passage}"
        await embedder.close()


async def test_fields_can_be_set_and_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOOTNOTE_EMBEDDER_QUERY_FIELDS", '{"input_type": "search_query", "truncate": "END"}')
    monkeypatch.setenv("FOOTNOTE_EMBEDDER_PASSAGE_FIELDS", "{}")
    with fake_upstream() as upstream:
        embedder = make_embedder(openai_at(upstream, embedder="openai:voyage-3", embedder_dimensions=8))
        await embedder.embed_query("Why?")
        await embedder.embed_passages(["Because."])
        question, passages = upstream.requests
        assert (question["input_type"], question["truncate"]) == ("search_query", "END")
        assert "input_type" not in passages
        assert embedder.name == "openai:voyage-3"
        await embedder.close()
    monkeypatch.setenv("FOOTNOTE_EMBEDDER_QUERY_FIELDS", "input_type=query")
    with pytest.raises(ConfigurationError, match=r"FOOTNOTE_EMBEDDER_QUERY_FIELDS.*JSON"):
        load_settings()


async def test_questions_and_passages_have_their_prefixes() -> None:
    with fake_upstream() as upstream:
        embedder = make_embedder(openai_at(upstream, embedder="openai:nomic-embed-text", embedder_dimensions=8))
        await embedder.embed_query("Why?")
        await embedder.embed_passages(["Because.", ""])
        assert [request["input"] for request in upstream.requests] == [
            ["search_query: Why?"],
            ["search_document: Because.", "search_document: "],
        ]
        assert embedder.name == "openai:nomic-embed-text+search_document"
        await embedder.close()


async def test_prefixes_can_be_set_and_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOOTNOTE_EMBEDDER_QUERY_PREFIX", "question: ")
    monkeypatch.setenv("FOOTNOTE_EMBEDDER_PASSAGE_PREFIX", "none")
    with fake_upstream() as upstream:
        embedder = make_embedder(openai_at(upstream, embedder="openai:nomic-embed-text", embedder_dimensions=8))
        await embedder.embed_query("Why?")
        await embedder.embed_passages(["Because."])
        assert [request["input"] for request in upstream.requests] == [["question: Why?"], ["Because."]]
        assert embedder.name == "openai:nomic-embed-text"
        await embedder.close()


async def test_vectors_that_no_index_takes_are_refused() -> None:
    with (
        fake_upstream(embedding_dimensions=4096) as upstream,
        pytest.raises(ProviderRejected, match=r"4096 numbers.*4000 at most.*FOOTNOTE_EMBEDDER_DIMENSIONS"),
    ):
        make_embedder(openai_at(upstream))


async def test_an_ingestion_keeps_within_the_limits_that_are_told() -> None:
    with fake_upstream(embeddings_per_s=40, embeddings_burst=8) as upstream:
        embedder = make_embedder(openai_at(upstream, embedder_dimensions=8))
        for _ in range(10):
            assert (await embedder.embed_passages([f"text {n}" for n in range(64)])).shape == (64, 8)
        assert len(upstream.requests) == 40, "none was refused, none was asked twice"
        assert upstream.limited == 0
        await embedder.close()


async def test_an_ingestion_waits_when_it_is_refused_and_a_question_does_not() -> None:
    with fake_upstream(embeddings_per_s=2, embeddings_burst=4, tells_limits=False) as upstream:
        embedder = make_embedder(openai_at(upstream, embedder_dimensions=8))
        ingestion = asyncio.create_task(embedder.embed_passages([f"text {n}" for n in range(600)]))
        while not upstream.limited:
            await asyncio.sleep(0.01)
        upstream.script.embeddings_burst = 1000
        assert (await asyncio.wait_for(embedder.embed_query("Why?"), 2)).shape == (1, 8)
        upstream.script.embeddings_burst = 4
        assert (await ingestion).shape == (600, 8)
        await embedder.close()


async def test_an_account_without_money_is_not_waited_for() -> None:
    with fake_upstream(status=429, error_code="insufficient_quota") as upstream:
        embedder = make_embedder(openai_at(upstream, embedder_dimensions=8))
        with pytest.raises(ProviderRejected, match="quota"):
            await asyncio.wait_for(embedder.embed_passages(["text"]), 20)
        await embedder.close()
