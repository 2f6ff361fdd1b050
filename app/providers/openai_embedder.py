"""OpenAI embedder: any endpoint that speaks OpenAI's embeddings protocol."""

import asyncio
import base64
import binascii
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np

from app.domain.errors import MissingKey, ProviderRejected
from app.domain.index import MOST_DIMENSIONS
from app.domain.ports import Vectors
from app.providers.input_types import InputType, InputTypes
from app.providers.pace import Pace
from app.providers.resilience import Endpoint
from app.providers.tokenizer import encoding

if TYPE_CHECKING:
    import openai


_SETTING = "FOOTNOTE_EMBEDDER"
_KEY = "OPENAI_API_KEY"
_NO_KEY = "not-needed"
_KNOWN_DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}
_BATCH = 96  # texts of one request at most
_SMALL = 16  # texts that are not worth another request
_CONCURRENT_BATCHES = 4
_MAX_RETRIES = 2
_MAX_TOKENS = 8191  # OpenAI refuses longer inputs
_NO_MONEY = "insufficient_quota"  # says 429 too, and time does not help
_TINY = 1e-12
_Client = TypeVar("_Client", "openai.OpenAI", "openai.AsyncOpenAI")


class _Item(msgspec.Struct):
    """One vector: numbers, or their float32 bytes in base64; `index` is its text's, which not every server says."""

    embedding: list[float] | str
    index: int | None = None


class _Usage(msgspec.Struct):
    total_tokens: int | None = None


class _Reply(msgspec.Struct):
    data: list[_Item]
    usage: _Usage | None = None


class OpenAIEmbedder:
    """Vectors from an endpoint, made unit-length; `dimensions` asks for shortened ones.

    `input_types` tell the model what it reads. The passages' is a part of the name: vectors with and without it cannot
    be compared.
    """

    def __init__(
        self, model: str, *, base_url: str | None, dimensions: int | None, timeout_s: float, input_types: InputTypes
    ) -> None:
        """Raises MissingKey; ProviderError when the endpoint has to be asked for its dimensions and does not answer.

        ProviderRejected when its vectors are too long for an index.
        """
        import openai  # noqa: PLC0415 - slow to import

        self._model, self._types = model, input_types
        self._asked: dict[str, Any] = {"model": model} | ({"dimensions": dimensions} if dimensions else {})
        options = {"base_url": base_url, "timeout": timeout_s, "max_retries": _MAX_RETRIES}
        self._client = _connect(openai.AsyncOpenAI, model, options)
        self._endpoint = Endpoint("openai", model, _SETTING, base_url, _KEY, secrets=(self._client.api_key,))
        self._slots, self._pace = asyncio.Semaphore(_CONCURRENT_BATCHES), Pace()
        known = dimensions or _KNOWN_DIMENSIONS.get(model)
        self._dimensions = known or self._probe(_connect(openai.OpenAI, model, options))
        if self._dimensions > MOST_DIMENSIONS:
            raise ProviderRejected(
                f"{self.name} sends vectors of {self._dimensions} numbers; an index takes {MOST_DIMENSIONS} at most. "
                "Set FOOTNOTE_EMBEDDER_DIMENSIONS to less, which the model must be able to, or take another model."
            )

    @property
    def name(self) -> str:
        """The identity that an index generation stores."""
        told = self._types.passage.name
        return f"openai:{self._model}" + (f"+{told}" if told else "")

    @property
    def dimensions(self) -> int:
        """The length of each vector."""
        return self._dimensions

    async def embed_query(self, text: str) -> Vectors:
        """One question, shape (1, dimensions), which waits for no passages. Raises ProviderError."""
        import openai  # noqa: PLC0415

        try:
            return await self._ask([text], self._types.query)
        except openai.OpenAIError as error:
            raise self._endpoint.failure(error) from error

    async def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """Passages in their order, shape (len(texts), dimensions); few texts are requested at the same time as well.

        Requests keep within the limits that the provider's answers tell, and wait when it refuses more. Raises
        ProviderError.
        """
        size = min(_BATCH, max(_SMALL, -(-len(texts) // _CONCURRENT_BATCHES)))
        batches = [texts[at : at + size] for at in range(0, len(texts), size)]
        if not batches:
            return np.empty((0, self._dimensions), np.float32)
        tasks = [asyncio.create_task(self._patiently(batch)) for batch in batches]
        try:
            return np.concatenate(await asyncio.gather(*tasks))
        finally:
            for task in tasks:  # when one failed, the others need not go on
                task.cancel()

    async def close(self) -> None:
        """Close the connections that are kept open."""
        await self._client.close()

    def _probe(self, client: "openai.OpenAI") -> int:
        """Ask for one vector, to learn how long it is."""
        import openai  # noqa: PLC0415

        with client:
            try:
                answer = client.embeddings.with_raw_response.create(
                    input=["dimensions"], extra_body=self._types.query.fields, **self._asked
                )
            except openai.OpenAIError as error:
                raise self._endpoint.failure(error) from error
        return len(self._vectors(self._read(answer.content), 1)[0])

    async def _patiently(self, texts: Sequence[str]) -> Vectors:
        """Ask for a batch, and again when the provider wants no more requests for now."""
        import openai  # noqa: PLC0415

        async with self._slots:
            while True:
                await self._pace.wait()
                try:
                    return await self._ask(texts, self._types.passage)
                except openai.RateLimitError as error:
                    if error.code == _NO_MONEY or not self._pace.refused(error.response.headers):
                        raise self._endpoint.failure(error) from error
                except openai.OpenAIError as error:
                    raise self._endpoint.failure(error) from error

    async def _ask(self, texts: Sequence[str], kind: InputType) -> Vectors:
        answer = await self._client.embeddings.with_raw_response.create(
            input=[_fitting(kind.prefix + text) for text in texts], extra_body=kind.fields, **self._asked
        )
        reply = self._read(answer.content)
        tokens = (reply.usage and reply.usage.total_tokens) or 0
        self._pace.answered(answer.headers, requests=_CONCURRENT_BATCHES, tokens=_CONCURRENT_BATCHES * tokens)
        vectors = self._vectors(reply, len(texts))
        if vectors.shape[1] != self._dimensions:
            raise ProviderRejected(
                f"{self.name} sent vectors of another length than {self._dimensions}; set "
                "FOOTNOTE_EMBEDDER_DIMENSIONS to what it sends, or unset it when it cannot shorten them."
            )
        return vectors

    def _read(self, body: bytes) -> _Reply:
        try:
            return msgspec.json.decode(body, type=_Reply)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._endpoint.unlike(body.decode(errors="replace")) from error

    def _vectors(self, reply: _Reply, count: int) -> Vectors:
        """Unit vectors in the order of their texts, shape (count, their length)."""
        if len(reply.data) != count:
            raise ProviderRejected(
                f"{self.name} sent {len(reply.data)} vectors for {count} texts; is {_SETTING} an embedder?"
            )
        items = sorted(reply.data, key=lambda item: item.index or 0)
        try:
            vectors = np.array([_numbers(item.embedding) for item in items], np.float64)
        except (ValueError, binascii.Error) as error:  # of several lengths, or no base64
            raise self._endpoint.unlike(str(error)) from error
        if not np.isfinite(vectors).all():
            raise ProviderRejected(f"{self.name} sent a vector with something in it that is no number (NaN).")
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _TINY)
        return vectors.astype(np.float32)


def _numbers(embedding: list[float] | str) -> "list[float] | np.ndarray[Any, np.dtype[np.float32]]":
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding, validate=True), "<f4")
    return embedding


def _connect(kind: type[_Client], model: str, options: dict[str, Any]) -> _Client:
    """A client; one for a server of one's own gets a placeholder when there is no key. Raises MissingKey."""
    import openai  # noqa: PLC0415

    try:
        return kind(**options)
    except openai.OpenAIError as error:  # no key, it says
        if not options["base_url"]:
            raise MissingKey(f"`openai:{model}` needs an API key: set {_KEY} in the environment.") from error
    return kind(api_key=_NO_KEY, **options)


def _fitting(text: str) -> str:
    """The text cut to what OpenAI takes; an empty one, which it refuses, becomes a space."""
    if len(text.encode()) <= _MAX_TOKENS:  # a token is a byte or more, so these are most texts
        return text or " "
    return encoding().decode(encoding().encode_ordinary(text)[:_MAX_TOKENS])
