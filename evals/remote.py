"""Remote: a service that runs elsewhere, asked through its API as every client asks it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from time import monotonic
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec
import structlog

from app.domain.conversation import ChatMessage
from app.domain.errors import (
    CollectionNotFound,
    ConfigurationError,
    DocumentNotFound,
    FootnoteError,
    InvalidInput,
    ProviderError,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from app.domain.run import EVENT_TYPES, LoggedEvent, RunCancelled, RunEvent, RunFailed, RunStarted
from evals.datasets.questions import AskedQuestion
from evals.event_stream import read_events
from evals.service import PAGE, ListedDocument, Service

log = structlog.get_logger()

CONNECT_S = 10
SILENCE_S = 60  # a server sends a comment every 15 seconds, unless FOOTNOTE_HEARTBEAT_S says otherwise
RESUMES = 5  # in a row, without a new event
RESUME_AFTER_S = 1.0
PATIENCE_S = 300  # with a server that wants fewer questions at a time

LAST_PORT = 65535

_T = TypeVar("_T")


class _Model(msgspec.Struct):
    name: str


class _About(msgspec.Struct):
    version: str
    chat_model: _Model


class _Collection(msgspec.Struct):
    name: str


class _Collections(msgspec.Struct):
    collections: list[_Collection]


class _Documents(msgspec.Struct):
    documents: list[ListedDocument]


class _Text(msgspec.Struct):
    text: str


@asynccontextmanager
async def open_remote(url: str, key: str | None = None) -> AsyncIterator[Service]:
    """The service at `url`, asked with the API key `key` where it needs one.

    Each question is a conversation of its own there, which is deleted once it is answered. Raises InvalidInput (not a
    URL, or no Footnote or too old a one there), Unauthenticated, Unavailable.
    """
    address = _address(url)
    if key is not None and not (key.isascii() and key.isprintable()):
        raise ConfigurationError("The API key has characters that no key has; look for a newline or a quote in it.")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    timeout = httpx.Timeout(SILENCE_S, connect=CONNECT_S)
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=timeout) as client:
        api = _Api(client, str(address.copy_with(username=None, password=None)).rstrip("/"))
        about = await api.get("/v1/about", _About)
        yield _Remote(api, about)


def _address(url: str) -> httpx.URL:
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise InvalidInput(f"--url is {url}, which is not a URL ({error}).") from error
    if address.scheme not in {"http", "https"} or not address.host or (address.port or 0) > LAST_PORT:
        raise InvalidInput(f"--url is {url}; it takes http://HOST:PORT or https://HOST.")
    return address


class _Api:
    """Requests to one server, its refusals as domain errors."""

    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self._client = client
        self.url = url

    async def get(self, path: str, kind: type[_T], **parameters: Any) -> _T:
        """What a GET answers. Raises as `reply`, and InvalidInput for another shape than this version's."""
        async with self.reply("GET", path, params=parameters) as response:
            return self.decoded(await response.aread(), kind)

    def decoded(self, data: bytes, kind: type[_T]) -> _T:
        """JSON of the server. Raises InvalidInput."""
        try:
            return msgspec.json.decode(data, type=kind)
        except msgspec.MsgspecError as error:
            raise InvalidInput(
                f"{self.url} does not answer as this version of Footnote does ({error}). Is a Footnote there, and not "
                "an older one? Update it, or evaluate with its own version."
            ) from error

    @asynccontextmanager
    async def reply(self, method: str, path: str, **options: Any) -> AsyncIterator[httpx.Response]:
        """An open response to read from.

        Raises Unauthenticated, TooManyRequests, InvalidInput (other refusals), Unavailable (not reached, broken off).
        """
        try:
            async with self._client.stream(method, path, **options) as response:
                if not response.is_success:
                    await response.aread()
                    raise self._refusal(method, path, response)
                yield response
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
            raise Unavailable(f"{self.url} cannot be reached, or broke off: {method} {path}: {why}.") from error

    def _refusal(self, method: str, path: str, response: httpx.Response) -> FootnoteError:
        status, said = response.status_code, _detail(response)
        if status == 401:
            return Unauthenticated(
                f"{self.url} wants an API key, and not this one; name the variable that holds it: --api-key-from-env."
            )
        what = f"{self.url}: {method} {path} was answered with {status}: {said.rstrip('.')}."
        if status == 429:
            wait = response.headers.get("Retry-After", "")
            return TooManyRequests(what, int(wait) if wait.isdecimal() else 1)
        if status >= 500:
            return Unavailable(what)
        hint = " Is this a Footnote's address, without /v1?" if status == 404 and path == "/v1/about" else ""
        return InvalidInput(what + hint)


class _Remote:
    """A server's API as a `Service`."""

    def __init__(self, api: _Api, about: _About) -> None:
        self._api = api
        self._about = about

    @property
    def model(self) -> str:
        """See `Service.model`."""
        return self._about.chat_model.name

    @property
    def settings(self) -> dict[str, Any]:
        """Where it is, and its version: a server tells no settings."""
        return {"url": self._api.url, "version": self._about.version}

    async def documents(self, collection: str) -> list[ListedDocument]:
        """See `Service.documents`."""
        names = [each.name for each in (await self._api.get("/v1/collections", _Collections)).collections]
        if collection not in names:
            there = ", ".join(names) or "none"
            raise CollectionNotFound(
                f"There is no collection named {collection!r} at {self._api.url}; it has: {there}."
            )
        found: list[ListedDocument] = []
        while True:
            asked = {"collection": collection, "limit": PAGE, "offset": len(found)}
            page = (await self._api.get("/v1/documents", _Documents, **asked)).documents
            found += page
            if len(page) < PAGE:
                return found

    async def text(self, document_id: str) -> str:
        """See `Service.text`."""
        try:
            return (await self._api.get(f"/v1/documents/{quote(document_id, safe='')}", _Text)).text
        except InvalidInput as error:
            raise DocumentNotFound(error.message) from error

    async def ask(self, question: AskedQuestion, collection: str) -> AsyncGenerator[RunEvent, None]:
        """See `Service.ask`. A stream that breaks off is resumed."""
        conversation_id: str | None = None
        try:
            async with aclosing(self._events(question, collection)) as events:
                async for logged in events:
                    if logged.type not in EVENT_TYPES:  # of a newer server
                        continue
                    event: RunEvent = self._api.decoded(logged.data, EVENT_TYPES[logged.type])
                    match event:
                        case RunStarted():
                            conversation_id = event.conversation_id
                        case RunFailed(problem):
                            raise ProviderError(problem.detail)
                        case RunCancelled():
                            raise Unavailable("The answer was stopped by someone else.")
                    yield event
        finally:
            if conversation_id is not None:
                await self._delete(conversation_id)

    async def _events(self, question: AskedQuestion, collection: str) -> AsyncGenerator[LoggedEvent, None]:
        """The run's events from the first to the last, over as many connections as it takes."""
        run_id, last, broken = None, 0, 0
        if question.history:
            run_id = await self._begin(question, collection)
        while True:
            request = self._resumed(run_id, last) if run_id is not None else self._asked(question, collection)
            try:
                async with request as response:
                    run_id = run_id or self._run_of(response)
                    async with aclosing(read_events(response)) as events:
                        async for event in events:
                            last, broken = event.id, 0
                            yield event
                            if event.terminal:
                                return
            except Unavailable:
                if run_id is None:  # whether the question arrived is not known
                    raise
            broken += 1
            if broken > RESUMES:
                raise Unavailable(f"{self._api.url}: the stream of run {run_id} broke off and could not be resumed.")
            await asyncio.sleep(RESUME_AFTER_S)

    async def _begin(self, question: AskedQuestion, collection: str) -> str:
        """The run that answers a question with a history: OpenAI's dialect brings one along, Footnote's own does not.

        An answer can be read in every dialect, whichever it was asked in.
        """
        said = [*question.history, ChatMessage("user", question.question)]
        body = {"messages": _builtins(said), "stream": True, "collection": collection}
        async with self._patiently("/v1/chat/completions", body) as response:
            return self._run_of(response)

    def _run_of(self, response: httpx.Response) -> str:
        """The run that an answer's response names. Raises InvalidInput."""
        run_id = response.headers.get("X-Run-Id")
        if not run_id:
            raise InvalidInput(f"{self._api.url} names no run in X-Run-Id; let that header pass through your proxy.")
        return str(run_id)

    @asynccontextmanager
    async def _asked(self, question: AskedQuestion, collection: str) -> AsyncIterator[httpx.Response]:
        body = {"message": question.question, "collection": collection}
        async with self._patiently("/v1/chat", body) as response:
            yield response

    @asynccontextmanager
    async def _resumed(self, run_id: str, last: int) -> AsyncIterator[httpx.Response]:
        headers = {"Last-Event-ID": str(last)}
        async with self._api.reply("GET", f"/v1/runs/{run_id}/events", headers=headers) as response:
            yield response

    @asynccontextmanager
    async def _patiently(self, path: str, body: dict[str, Any]) -> AsyncIterator[httpx.Response]:
        """POST; again, when the server says that it is asked too much at a time."""
        begun = monotonic()
        while True:
            try:
                async with self._api.reply("POST", path, json=body) as response:
                    yield response
                    return
            except TooManyRequests as error:
                if monotonic() - begun > PATIENCE_S:
                    raise
                await asyncio.sleep(error.retry_after_s)

    async def _delete(self, conversation_id: str) -> None:
        """What was asked for a measurement is nobody's conversation; a running answer is stopped with it."""
        try:
            async with self._api.reply("DELETE", f"/v1/conversations/{conversation_id}"):
                pass
        except FootnoteError as error:
            log.warning("conversation.stays", conversation_id=conversation_id, error=error.message)


def _builtins(messages: Sequence[ChatMessage]) -> list[dict[str, str]]:
    return [{"role": each.role, "content": each.content} for each in messages]


def _detail(response: httpx.Response) -> str:
    """What a refusal says: as problem details, as OpenAI's error, or the beginning of whatever else."""
    try:
        body = response.json()
    except ValueError:
        body = None
    match body:
        case {"detail": str(said)} | {"error": {"message": str(said)}}:
            return said
        case _:
            return " ".join(response.text.split())[:200] or response.reason_phrase
