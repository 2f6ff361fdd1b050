"""Rerankers: the choice, what goes over the wire, what is refused, and that keys stay where they belong."""

import logging
import subprocess
import sys

import pytest

from app.domain.errors import (
    ConfigurationError,
    FootnoteError,
    MissingKey,
    ProviderError,
    ProviderRejected,
    ProviderTimedOut,
    ProviderUnavailable,
    UnknownModel,
)
from app.domain.ports import Reranker
from app.providers.chat_reranker import ChatReranker
from app.providers.local_chat import LocalChatModel
from app.providers.prompt_files import PromptFiles
from app.providers.reranker import make_reranker
from app.settings import Settings
from tests.fixtures.rerank_server import RerankServer, rerank_server

KEY = "a-key-that-nobody-may-see-0123456789"
TEXTS = ["rye bread", "the ferry to Holm", "the ferry leaves at nine"]
QUERY = "when does the ferry leave at nine"
KINDS = ["cohere:m", "jina:m", "tei"]


def made(server: RerankServer, kind: str = "cohere:m", **settings: object) -> Reranker:
    values = {"reranker": kind, "reranker_base_url": server.url, **settings}
    reranker = make_reranker(Settings.model_validate(values))
    assert reranker is not None
    return reranker


def test_none_is_the_default() -> None:
    assert make_reranker(Settings()) is None


@pytest.mark.parametrize("name", ["cohere", "cohere:", "jina", "tei:m", "voyage:m", "rerank-v3.5", "chat:m"])
def test_unknown_names_are_explained(name: str) -> None:
    with pytest.raises(UnknownModel, match=r"FOOTNOTE_RERANKER.*`cohere:rerank-v3\.5`"):
        make_reranker(Settings(reranker=name))


@pytest.mark.parametrize(
    ("settings", "kind", "says"),
    [
        ({"reranker": "cohere:m"}, MissingKey, "set COHERE_API_KEY.*FOOTNOTE_RERANKER_BASE_URL"),
        ({"reranker": "jina:m"}, MissingKey, "set JINA_API_KEY.*FOOTNOTE_RERANKER_BASE_URL"),
        ({"reranker": "tei"}, ConfigurationError, "FOOTNOTE_RERANKER_BASE_URL"),
        ({"reranker": "tei", "reranker_base_url": "localhost:80"}, ConfigurationError, "must begin with `http://`"),
        ({"reranker": "chat", "chat_model": "openai:gpt"}, ConfigurationError, "FOOTNOTE_CHAT_MODEL.*`openai:gpt`"),
        ({"reranker": "chat", "chat_model": "gguf:/nowhere"}, ConfigurationError, "/nowhere"),
    ],
)
def test_what_is_missing_is_named(settings: dict[str, str], kind: type[FootnoteError], says: str) -> None:
    with pytest.raises(kind, match=says):
        make_reranker(Settings.model_validate(settings))


async def test_cohere_is_asked_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CO_API_KEY", KEY)
    with rerank_server() as server:
        reranker = made(server, "cohere:rerank-v3.5")
        scores = await reranker.rerank(QUERY, TEXTS)
        await reranker.close()
    assert sorted(scores) == [scores[0], scores[1], scores[2]], "the order is that of the texts"
    assert server.paths == ["/v2/rerank"]
    assert server.requests == [{"model": "rerank-v3.5", "query": QUERY, "documents": TEXTS, "top_n": 3}]
    assert server.keys == [f"Bearer {KEY}"]


async def test_jina_and_its_likes_are_asked_in_theirs() -> None:
    with rerank_server() as server:
        reranker = made(server, "jina:m", reranker_base_url=f"{server.url}/v1/")
        await reranker.rerank(QUERY, TEXTS)
        await reranker.close()
    assert server.paths == ["/v1/rerank"]
    assert server.requests[0] == {
        "model": "m",
        "query": QUERY,
        "documents": TEXTS,
        "top_n": 3,
        "return_documents": False,
    }
    assert server.keys == [None]


async def test_tei_is_asked_in_batches_that_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEI_API_KEY", KEY)
    with rerank_server() as server:
        server.most_texts = 32
        reranker = made(server, "tei")
        scores = await reranker.rerank(QUERY, TEXTS * 25)
        assert scores == pytest.approx((await reranker.rerank(QUERY, TEXTS)) * 25)
        await reranker.close()
        assert sorted(len(request["texts"]) for request in server.requests) == [3, 11, 32, 32]
        assert (server.requests[0]["raw_scores"], server.requests[0]["truncate"]) == (False, True)
        assert set(server.keys) == {f"Bearer {KEY}"}
        large = made(server, "tei", reranker_batch=40)
        with pytest.raises(ProviderRejected, match=r"422.*batch size (40|35) > maximum allowed batch size 32"):
            await large.rerank(QUERY, TEXTS * 25)
        await large.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[",
        b"<html>gateway</html>",
        b"null",
        b"[]",
        b'{"results": []}',
        b'{"results": [{"index": 0}]}',
        b'{"results": [{"index": "0", "relevance_score": 1}]}',
        b'[{"index": 0, "score": "high"}]',
        b"\xff\xfe",
    ],
)
async def test_malformed_answers_are_typed(kind: str, body: bytes) -> None:
    with rerank_server(body=body) as server:
        reranker = made(server, kind)
        with pytest.raises(ProviderError, match=r"sent"):
            await reranker.rerank(QUERY, TEXTS)
        await reranker.close()


@pytest.mark.parametrize("score", ["NaN", "Infinity", "1e999", "null"])
async def test_scores_that_are_no_numbers_are_refused(score: str) -> None:
    results = ",".join(f'{{"index":{n},"relevance_score":{score if n == 1 else 0.5}}}' for n in range(3))
    with rerank_server(body=f'{{"results":[{results}]}}'.encode()) as server:
        reranker = made(server)
        with pytest.raises(ProviderError):
            await reranker.rerank(QUERY, TEXTS)
        await reranker.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("script", [{"missing": 1}, {"repeat": True}])
async def test_incomplete_rankings_are_refused(kind: str, script: dict[str, object]) -> None:
    with rerank_server(**script) as server:
        reranker = made(server, kind)
        with pytest.raises(ProviderRejected, match="scores for 3 texts"):
            await reranker.rerank(QUERY, TEXTS)
        await reranker.close()


@pytest.mark.parametrize(
    ("status", "kind", "hint"),
    [
        (401, ProviderRejected, "COHERE_API_KEY"),
        (404, ProviderRejected, "FOOTNOTE_RERANKER"),
        (429, ProviderRejected, "limits requests"),
        (500, ProviderUnavailable, "as the test wants"),
        (504, ProviderTimedOut, "FOOTNOTE_RERANKER_TIMEOUT_S"),
    ],
)
async def test_failures_say_what_to_do(status: int, kind: type[ProviderError], hint: str) -> None:
    with rerank_server(status=status) as server:
        reranker = made(server)
        with pytest.raises(kind, match=hint):
            await reranker.rerank(QUERY, TEXTS)
        await reranker.close()


async def test_a_proxys_page_is_quoted() -> None:
    with rerank_server(status=502, body=b"<h1>Bad gateway</h1>") as server:
        reranker = made(server)
        with pytest.raises(ProviderUnavailable, match="Bad gateway"):
            await reranker.rerank(QUERY, TEXTS)
        await reranker.close()


async def test_silence_and_absence() -> None:
    with rerank_server(hang=True) as server:
        reranker = made(server, reranker_timeout_s=0.2)
        with pytest.raises(ProviderTimedOut, match="FOOTNOTE_RERANKER_TIMEOUT_S"):
            await reranker.rerank(QUERY, TEXTS)
    with pytest.raises(ProviderUnavailable, match="Cannot reach"):
        await reranker.rerank(QUERY, TEXTS)
    await reranker.close()


async def test_the_key_is_in_no_message_and_no_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("COHERE_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    for status in (400, 401, 500):
        with rerank_server(status=status, message=f"the key {KEY} is not good") as server:
            reranker = made(server)
            with pytest.raises(ProviderError) as caught:
                await reranker.rerank(QUERY, TEXTS)
            await reranker.close()
            assert KEY not in caught.value.message
    assert KEY not in repr(reranker) + repr(vars(reranker)["_client"])
    assert caplog.records
    assert KEY not in "".join(record.getMessage() for record in caplog.records)


async def test_a_key_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JINA_API_KEY", "schlüssel")
    with pytest.raises(ConfigurationError, match="JINA_API_KEY") as caught:
        make_reranker(Settings(reranker="jina:m"))
    assert "schlüssel" not in caught.value.message


def test_a_failure_imports_nothing_slow() -> None:
    """The time limit is kept by the event loop, which an import would hold up for a second."""
    script = (
        "import asyncio, sys\n"
        "from app.domain.errors import ProviderError\n"
        "from app.providers.reranker import make_reranker\n"
        "from app.settings import Settings\n"
        "async def main():\n"
        "    made = make_reranker(Settings(reranker='tei', reranker_base_url='http://127.0.0.1:1'))\n"
        "    try:\n"
        "        await made.rerank('q', ['t'])\n"
        "    except ProviderError as error:\n"
        "        print(error.message)\n"
        "    await made.close()\n"
        "asyncio.run(main())\n"
        "print(sorted({'openai', 'langchain_core'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True).stdout
    assert out.startswith("Cannot reach http://127.0.0.1:1")
    assert out.endswith("[]\n")


class Judge(LocalChatModel):
    """A local model whose first tokens are given."""

    def __init__(self, tokens: dict[str, float]) -> None:
        self._tokens = tokens

    async def first_tokens(self, messages: object, count: int) -> dict[str, float]:
        del messages, count
        return self._tokens

    @property
    def profile(self) -> object:  # type: ignore[override]
        return type("Profile", (), {"name": "judge"})


@pytest.mark.parametrize(
    ("tokens", "score"),
    [
        ({"Yes": 0.3, "No": 0.1, "The": 0.6}, 0.75),
        ({" yes": 0.2, "Yes": 0.1, "NO": 0.1}, 0.75),
        ({"Yes": 0.5}, 1.0),
        ({"no": 0.01, "I": 0.9}, 0.0),
    ],
)
async def test_yes_and_no_are_weighed_against_each_other(tokens: dict[str, float], score: float) -> None:
    prompt = PromptFiles(Settings().prompts_dir).active("rerank")
    assert await ChatReranker(Judge(tokens), prompt).rerank("q", ["t"]) == [pytest.approx(score)]


async def test_a_model_that_says_neither_is_told() -> None:
    prompt = PromptFiles(Settings().prompts_dir).active("rerank")
    with pytest.raises(ProviderRejected, match=r"neither Yes nor No to rerank/v1@"):
        await ChatReranker(Judge({"Maybe": 1.0}), prompt).rerank("q", ["t"])


async def test_batches_go_out_at_the_same_time_but_not_too_many() -> None:
    with rerank_server(delay_s=0.2) as server:
        reranker = made(server, reranker_batch=1)
        await reranker.rerank(QUERY, TEXTS * 3)
        assert len(server.requests) == 9
        assert 2 <= server.most_busy <= 4
        await reranker.close()
