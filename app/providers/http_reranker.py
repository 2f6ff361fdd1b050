"""HTTP reranker: Cohere's, Jina's and TEI's rerank protocols, which most rerank servers speak one of."""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from app.domain.errors import ProviderRejected
from app.providers.resilience import Endpoint

if TYPE_CHECKING:
    import httpx

_CONCURRENT_BATCHES = 4
_ERROR_CHARS = 2000


@dataclass(frozen=True, slots=True)
class Score:
    """The relevance of the text at `index`."""

    index: int
    score: float


@dataclass(frozen=True, slots=True)
class Shape:
    """One protocol: its path, how a request looks and how its answer is read.

    `read` raises msgspec.DecodeError (ValidationError is one) when the answer is not of the protocol. `batch` is what
    servers take in one request as they are delivered.
    """

    path: str
    batch: int
    write: Callable[[str, str, Sequence[str]], dict[str, Any]]
    read: Callable[[bytes], list[Score]]


class _Result(msgspec.Struct):
    index: int
    relevance_score: float


class _Results(msgspec.Struct):
    results: list[_Result]


def _cohere(model: str, query: str, texts: Sequence[str]) -> dict[str, Any]:
    return {"model": model, "query": query, "documents": list(texts), "top_n": len(texts)}


def _jina(model: str, query: str, texts: Sequence[str]) -> dict[str, Any]:
    return _cohere(model, query, texts) | {"return_documents": False}


def _tei(_model: str, query: str, texts: Sequence[str]) -> dict[str, Any]:
    return {"query": query, "texts": list(texts), "raw_scores": False, "truncate": True}


def _read_results(body: bytes) -> list[Score]:
    return [Score(r.index, r.relevance_score) for r in msgspec.json.decode(body, type=_Results).results]


def _read_list(body: bytes) -> list[Score]:
    return msgspec.json.decode(body, type=list[Score])


COHERE = Shape("/v2/rerank", 100, _cohere, _read_results)
JINA = Shape("/v1/rerank", 100, _jina, _read_results)
TEI = Shape("/rerank", 32, _tei, _read_list)


class HttpReranker:
    """A cross-encoder behind an endpoint; each text is scored by itself, so batches can be compared."""

    def __init__(
        self, endpoint: Endpoint, shape: Shape, *, key: str | None, timeout_s: float, batch: int | None = None
    ) -> None:
        """`endpoint.base_url` must be set; `timeout_s` is the longest silence, `batch` the most texts in a request."""
        import httpx  # noqa: PLC0415 - slow to import

        self._endpoint = endpoint
        self._shape = shape
        self._batch = batch or shape.batch
        self._url = f"{endpoint.base_url}{shape.path}"
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client: httpx.AsyncClient = httpx.AsyncClient(headers=headers, timeout=timeout_s)
        self._failures = (httpx.HTTPError, httpx.InvalidURL)
        self._slots = asyncio.Semaphore(_CONCURRENT_BATCHES)

    @property
    def name(self) -> str:
        """`cohere:NAME`, `jina:NAME` or `tei`."""
        return f"{self._endpoint.provider}:{self._endpoint.model}".removesuffix(":tei")

    async def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """One relevance for each text; see `Reranker.rerank`."""
        batches = [texts[at : at + self._batch] for at in range(0, len(texts), self._batch)]
        tasks = [asyncio.create_task(self._scores(query, batch)) for batch in batches]
        try:
            return [score for scores in await asyncio.gather(*tasks) for score in scores]
        finally:
            for task in tasks:  # when one failed, the others need not go on
                task.cancel()

    async def close(self) -> None:
        """Close the connections that are kept open."""
        await self._client.aclose()

    async def _scores(self, query: str, texts: Sequence[str]) -> list[float]:
        body = msgspec.json.encode(self._shape.write(self._endpoint.model, query, [t or " " for t in texts]))
        async with self._slots:
            try:
                reply = await self._client.post(self._url, content=body, headers={"Content-Type": "application/json"})
            except self._failures as error:
                raise self._endpoint.failure(error) from error
        if not reply.is_success:
            raise self._endpoint.failure(_Refusal(reply))
        return self._checked(reply.content, len(texts))

    def _checked(self, body: bytes, count: int) -> list[float]:
        """The scores in the order of the texts. Raises ProviderError unless there is one finite score for each."""
        try:
            scores = self._shape.read(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._endpoint.failure(error) from error
        found = {score.index: score.score for score in scores}
        if len(scores) != count or found.keys() != set(range(count)) or not all(map(math.isfinite, found.values())):
            raise ProviderRejected(
                f"{self._endpoint.place} sent {len(scores)} scores for {count} texts, or not one for each; is "
                f"{self._endpoint.setting} a reranker of this protocol?"
            )
        return [found[index] for index in range(count)]


class _Refusal(Exception):
    """An answer with an error's status, as `Endpoint.failure` reads it."""

    def __init__(self, reply: "httpx.Response") -> None:
        super().__init__(reply.text[:_ERROR_CHARS])
        self.status_code = reply.status_code
        try:
            self.body = msgspec.json.decode(reply.content)
        except (msgspec.DecodeError, UnicodeDecodeError):  # a proxy's page, for example: the text has to do
            self.body = None
