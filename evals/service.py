"""Service: what the suite `qa:` asks. In this process, opened here; `evals.remote` has the one behind a URL."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, cast
from uuid import UUID

from app.bootstrap import Services, open_services
from app.domain.principal import Principal
from app.domain.run import RunCompleted, RunEvent, TextDelta, Usage
from app.providers.prompt_files import PromptFiles
from app.services.answering import Provenance, Question
from app.settings import Settings
from evals.datasets.questions import AskedQuestion
from evals.settings_read import SettingsRead

PAGE = 1000
_CLOSED_BOOK_TOKENS = 120
_PRINCIPAL = Principal()


@dataclass(frozen=True, slots=True)
class ListedDocument:
    """A document of the collection; `content_hash` in hexadecimal digits."""

    id: str
    uri: str
    content_hash: str


class Service(Protocol):
    """Answers questions about collections, and shows the documents that it answers from."""

    @property
    def model(self) -> str:
        """The name of the chat model that answers."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """What is known of how it answers, by name, so far; with `url` little more is."""
        ...

    async def documents(self, collection: str) -> list[ListedDocument]:
        """All documents of a collection. Raises CollectionNotFound."""
        ...

    async def text(self, document_id: str) -> str:
        """The text that citations of a document point into. Raises DocumentNotFound."""
        ...

    def ask(self, question: AskedQuestion, collection: str) -> AsyncGenerator[RunEvent, None]:
        """The events of one answer up to its completion; what ends it otherwise is raised, a FootnoteError."""
        ...


@asynccontextmanager
async def open_in_process(settings: Settings, *, closed_book: bool = False) -> AsyncIterator[Service]:
    """The service of these settings, in this process; nothing that it answers is stored. Raises as `open_services`.

    `closed_book`: its model is asked without the documents, for what it knows anyway.
    """
    noted = SettingsRead(settings)
    async with open_services(cast("Settings", noted), worker=False) as services:
        yield (_ClosedBook if closed_book else _InProcess)(services, noted)


class _InProcess:
    """The answering service without its API."""

    def __init__(self, services: Services, noted: SettingsRead) -> None:
        self._services = services
        self._noted = noted

    @property
    def model(self) -> str:
        """See `Service.model`."""
        return self._services.model.profile.name

    @property
    def settings(self) -> dict[str, Any]:
        """Those that were read."""
        return self._noted.so_far()

    async def documents(self, collection: str) -> list[ListedDocument]:
        """See `Service.documents`."""
        await self._services.documents.collection_ids(_PRINCIPAL.workspace_id, collection)
        found: list[ListedDocument] = []
        while True:
            page = await self._services.documents.page(
                _PRINCIPAL.workspace_id, collection, limit=PAGE, offset=len(found)
            )
            found += [ListedDocument(str(each.id), each.uri, each.content_hash) for each in page]
            if len(page) < PAGE:
                return found

    async def text(self, document_id: str) -> str:
        """See `Service.text`."""
        return (await self._services.documents.text(_PRINCIPAL.workspace_id, UUID(document_id))).text

    async def ask(self, question: AskedQuestion, collection: str) -> AsyncGenerator[RunEvent, None]:
        """See `Service.ask`."""
        asked = Question(question.question, collection=collection, history=question.history)
        events = self._services.answering.answer(_PRINCIPAL, asked, question.history, Provenance())
        async with aclosing(events):
            async for event in events:
                yield event


class _ClosedBook(_InProcess):
    """Its model is asked in place of the service."""

    def __init__(self, services: Services, noted: SettingsRead) -> None:
        super().__init__(services, noted)
        self._prompt = PromptFiles(services.settings.prompts_dir).active("closed-book")

    @property
    def model(self) -> str:
        """Says that it is the model alone."""
        return f"{super().model}, closed book"

    @property
    def settings(self) -> dict[str, Any]:
        """Those that were read, and the prompt."""
        return super().settings | {"closed_book": self._prompt.reference}

    async def ask(self, question: AskedQuestion, collection: str) -> AsyncGenerator[RunEvent, None]:
        """What the model says; `collection` and the question's history are not told."""
        del collection
        usage, finish_reason = Usage(0, 0), "stop"
        messages = self._prompt.messages(question=question.question)
        async with aclosing(self._services.model.stream(messages, max_tokens=_CLOSED_BOOK_TOKENS)) as deltas:
            async for delta in deltas:
                yield TextDelta(delta.text)
                if delta.completion_tokens is not None:
                    usage = Usage(delta.prompt_tokens or 0, delta.completion_tokens)
                finish_reason = delta.finish_reason or finish_reason
        yield usage
        yield RunCompleted("length" if finish_reason == "length" else "stop")
